"""What the networks see of the demo shop's products: text vectors, pictures as bytes, catalogue facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.catalog import CatalogItem, embedding_text
from contracts.keys import item_key
from contracts.settings import CatalogSettings
from fusion.features import ItemFacts, facts_of
from fusion.text import TextEncoder, encode_texts, load_tokenizer
from streams.pictures import PictureLoader

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ItemInputs:
    """Products in the order of the catalogue, n of them.

    Attributes:
        keys: int64 [n], item keys.
        text: float32 [n, text_width], of the texts that serving encodes too.
        captions: float32 [n, text_width], of texts with colour, pattern and style named: what the picture should say.
        pixels: uint8 [n, H, V, 3].
        facts: catalogue facts.
    """

    keys: NDArray[np.int64]
    text: Floats
    captions: Floats
    pixels: NDArray[np.uint8]
    facts: list[ItemFacts]


def caption_of(item: CatalogItem) -> str:
    """What can be seen of a product, in words, from the catalogue's attributes."""
    kind = item.categories[0].split(" > ")[-1] if item.categories else item.title
    pattern, style = (" ".join(item.attributes[name].text) for name in ("pattern", "style"))
    return f"{' '.join(item.color_families)} {pattern} {kind}, {style} style"


def read_items(
    items: Sequence[CatalogItem],
    text_encoder: str,
    settings: CatalogSettings,
    tick: Callable[[], None],
    *,
    with_captions: bool = True,
) -> ItemInputs:
    """Encode texts and read pictures, the latter by the very code that the catalogue agent uses.

    Args:
        items: the catalogue; every picture must exist.
        text_encoder: as in the settings.
        settings: size of pictures and where they may be.
        tick: called after each text and each picture, 3 n times in all, 2 n without captions.
        with_captions: encode the captions too; only the picture network's training needs them.
    """
    encoder, tokenizer = TextEncoder(text_encoder), load_tokenizer(text_encoder)

    def encode(texts: list[str]) -> Floats:
        parts = []
        for part in encode_texts(encoder, tokenizer, texts):
            parts.append(part)
            for _ in range(len(part)):
                tick()
        return torch.cat(parts).numpy()

    reader = PictureLoader(settings)
    pixels = []
    for item in items:
        pixels.append(reader.load(item.images[0].uri))
        tick()
    reader.close()
    return ItemInputs(
        keys=np.array([item_key(item.tenant_id, item.item_id) for item in items], dtype=np.int64),
        text=encode([embedding_text(item) for item in items]),
        captions=encode([caption_of(item) for item in items]) if with_captions else np.zeros((0, encoder.width), np.float32),
        pixels=np.stack(pixels),
        facts=[facts_of(item) for item in items],
    )

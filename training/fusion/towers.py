"""The picture tower of a shop: our compact network, taught by the titles of the products whose photos it sees.

Symmetric InfoNCE between photo and title with a learned temperature; the title's vector comes from the text tower, whose
weights stay as they are. A folder with the result is a name for `model.image_encoder`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from contracts.catalog import CatalogItem
from contracts.errors import ConfigurationError
from contracts.settings import Settings
from fusion.config import FusionConfig
from fusion.image import ImageEncoder
from fusion.text import TextEncoder, encode_texts, load_tokenizer
from fusion.vision import WEIGHTS
from streams.pictures import PictureLoader, PictureRefused, PictureUnavailable
from training.demo_pictures import Kept, PictureRecipe, encode_pictures, train_pictures
from training.finetune.data import photos, read_records
from training.fusion.heads import found

Tick = Callable[[float], None]


@dataclass(frozen=True)
class TowerRecipe:
    """Sizes of the network and its training."""

    sizes: FusionConfig = field(default_factory=FusionConfig)
    pictures: PictureRecipe = field(default_factory=lambda: PictureRecipe(epochs=10))
    seed: int = 0


def train_tower(
    pixels: NDArray[np.uint8],
    titles: Tensor,
    parts: dict[str, NDArray[np.int64]],
    recipe: TowerRecipe,
    tick: Tick,
    checkpoint: Path | None = None,
) -> tuple[ImageEncoder, dict[str, Any]]:
    """Train on the train part.

    Args:
        pixels: uint8 [N, S, S, 3].
        titles: float32 [N, W], vectors of the titles, L2 norm 1.
        parts: rows of `train` and `test`.
        recipe: how.
        tick: told the share that is done.
        checkpoint: file from which a killed training of the same pictures and recipe goes on.

    Returns:
        The network, whose vectors of the training photos have mean 0 and spread 1, and its measures on the test part before
        and after: titles find photos and photos find titles among all of that part.
    """
    torch.manual_seed(recipe.seed)
    network = ImageEncoder(recipe.sizes)
    to_words = nn.Linear(network.width, titles.shape[1])
    train, test = parts["train"], parts["test"]
    before = _judge(network, to_words, pixels[test], titles[test], titles[train].mean(0))
    steps, done = recipe.pictures.epochs * (len(train) // recipe.pictures.batch), 0

    def advance(_: float) -> None:
        nonlocal done
        done += 1
        tick(min(1.0, done / max(steps, 1)))

    losses = train_pictures(network, pixels[train], titles[train].numpy(), recipe.pictures, advance, Kept(to_words, checkpoint))
    after = _judge(network, to_words, pixels[test], titles[test], titles[train].mean(0))
    network.standardise(encode_pictures(network, pixels[train]))
    return network, {"before": before, "after": after, "losses": losses, "photos": len(train), "tested on": len(test)}


@torch.no_grad()
def _judge(
    network: ImageEncoder, to_words: nn.Linear, pixels: NDArray[np.uint8], titles: Tensor, middle: Tensor
) -> dict[str, dict[str, float]]:
    seen = functional.normalize(to_words(encode_pictures(network, pixels)), dim=-1)
    said = functional.normalize(titles - middle, dim=-1)
    return {"title → image": found((said @ seen.T).numpy()), "image → title": found((seen @ said.T).numpy())}


def save(network: ImageEncoder, folder: Path) -> None:
    """Write the weights where `model.image_encoder` finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in network.state_dict().items()}, folder / WEIGHTS)


def train_folder(
    data: Path, out: Path, text_encoder: str, recipe: TowerRecipe, tick: Callable[[str, float], None]
) -> dict[str, Any]:
    """Train on the products of a catalogue that have a picture; leaves the weights and `report.json` in a folder.

    Args:
        data: see :func:`training.finetune.data.read_records`; pictures of a `.jsonl` are read as the catalogue worker reads
            them, from the places that the settings allow.
        out: the folder.
        text_encoder: as in `settings.model.text_encoder`.
        recipe: how.
        tick: told a stage's name and the share of it that is done.

    Returns:
        The measures of :func:`train_tower`.

    Raises:
        ConfigurationError: if there are too few products with a picture for a batch.
    """
    records = read_records(data)
    shown = [(record, pixels) for record, pixels in _shown(data, records, recipe.sizes.image_size, tick) if pixels is not None]
    rows = parts_of([record.item_id for record, _ in shown])
    if len(rows["train"]) < recipe.pictures.batch or not len(rows["test"]):
        message = (
            f"--data: {data} has {len(shown)} products with a picture, {len(rows['train'])} of them to learn from; "
            f"expected at least a batch of {recipe.pictures.batch}"
        )
        raise ConfigurationError(message)
    encoder, tokenizer = TextEncoder(text_encoder), load_tokenizer(text_encoder)
    said = []
    for part in encode_texts(encoder, tokenizer, [record.title for record, _ in shown]):
        said.append(part)
        tick("titles", min(1.0, sum(map(len, said)) / len(shown)))
    pixels = np.stack([picture for _, picture in shown])
    network, figures = train_tower(pixels, torch.cat(said), rows, recipe, lambda share: tick("learning", share))
    save(network, out)
    report = {"text encoder": text_encoder, "seed": recipe.seed, "epochs": recipe.pictures.epochs, **figures}
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return figures


def _shown(
    data: Path, records: list[CatalogItem], side: int, tick: Callable[[str, float], None]
) -> Iterator[tuple[CatalogItem, NDArray[np.uint8] | None]]:
    """Each product with its picture, uint8 [S, S, 3], or None."""
    have, opened = photos(data) if data.is_dir() else (frozenset[str](), None)
    records = [record for record in records if record.images or record.item_id in have]
    loader = PictureLoader(Settings().catalog.model_copy(update={"image_size": side}))
    for done, record in enumerate(records, start=1):
        photo = opened(record.item_id) if opened is not None else None
        if photo is not None:
            photo.draft("RGB", (2 * side, 2 * side))
            yield record, np.asarray(photo.convert("RGB").resize((side, side)))
        else:
            try:
                yield record, loader.load(record.images[0].uri) if record.images else None
            except (PictureRefused, PictureUnavailable):
                yield record, None
        tick("pictures", done / len(records))
    loader.close()


def parts_of(ids: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Rows of `train` (80 %), `validation` and `test` (10 % each), by the hash of the id."""
    tenth = np.array([zlib.crc32(number.encode()) % 10 for number in ids], dtype=np.int64)
    place = np.where(tenth < 8, 0, tenth - 7)
    return {name: np.flatnonzero(place == number) for number, name in enumerate(("train", "validation", "test"))}

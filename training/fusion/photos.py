"""Products with photo and title, ready for the comparison of text, picture and both.

The title loses the words of what is asked, its own type, colour and gender, since most titles name them. Every product
also has a second view, which is what a visitor has in hand when looking for it: half of the title's words, and a part of
the photo under other light.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from contracts.catalog import CatalogItem
from contracts.errors import ConfigurationError
from fusion.text import TextEncoder, encode_texts, load_tokenizer
from training.finetune.data import label_of, photos, read_records
from training.fusion.towers import parts_of

Ints = NDArray[np.int64]
LABELS = ("articleType", "baseColour", "gender")
SIDE = 64
PARTS = ("train", "validation", "test")
GENDERS = frozenset(
    ("men", "man", "mens", "women", "woman", "womens", "ladies", "unisex", "boy", "boys", "girl", "girls", "kid", "kids")
)


@dataclass(frozen=True)
class Products:
    """Products that have a photo, N of them.

    Attributes:
        ids: their numbers as text.
        titles: as the shop wrote them.
        bare: the titles without the words for type, colour and gender.
        partial: half of the words of `bare`, for each product and view.
        labels: by name of `LABELS`, int64 [N], rows of `classes`.
        classes: by name, what the labels are called.
        pixels: uint8 [N, S, S, 3] RGB.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    bare: tuple[str, ...]
    partial: tuple[tuple[str, ...], ...]
    labels: dict[str, Ints]
    classes: dict[str, tuple[str, ...]]
    pixels: NDArray[np.uint8]

    def part(self, name: str) -> Ints:
        """Rows of `train` (80 %), `validation` or `test` (10 % each), by the hash of the id."""
        return parts_of(self.ids)[name]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _forms(word: str) -> set[str]:
    """A word and what may be its singular."""
    return {word, word.removesuffix("s"), word.removesuffix("es")}


def stripped(title: str, names: Sequence[str]) -> str:
    """A title without the words of some names, in singular or plural, and without words for a gender.

    Args:
        title: such as `Turtle Check Men Navy Blue Shirt`.
        names: such as `Shirts` and `Navy Blue`.
    """
    taken = {form for name in names for word in _words(name) for form in _forms(word)}
    # Tshirts are also written T-shirt, T Shirt or Tee.
    taken |= {"t", "tee", "tshirt", "shirt"} if "tshirt" in taken else set()
    kept = []
    for word in title.split():
        parts = set(_words(word))
        if not any(_forms(part) & taken for part in parts) and not parts & GENDERS:
            kept.append(word)
    return " ".join(kept)


def half(title: str, seed: str) -> str:
    """Half of a title's words, at least one, in their order; always the same for a seed."""
    words = title.split()
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    kept = np.sort(rng.permutation(len(words))[: max(1, len(words) // 2)])
    return " ".join(words[place] for place in kept)


def read(folder: Path, cache: Path, views: int = 2, tick: Callable[[float], None] = lambda _: None) -> Products:
    """Products of a folder with `products_44446.csv.gz` and `images_224.tar`.

    Args:
        folder: see :func:`training.finetune.data.read_records`.
        cache: folder where the decoded pixels are kept.
        views: how many halves of each title.
        tick: told the share of the photos that is decoded.

    Raises:
        ConfigurationError: if there is no such folder or it has no photos.
    """
    have, _ = photos(folder)
    records = [record for record in read_records(folder) if record.item_id in have]
    if not records:
        message = f"--data: {folder} has no photos of its products (images_224.tar)"
        raise ConfigurationError(message)
    named = {name: [label_of(record, name) or "" for record in records] for name in LABELS}
    named["baseColour"] = [label_of(record, "base_colour") or "" for record in records]
    named["articleType"] = [record.categories[0].split(" > ")[-1] for record in records]
    classes = {name: tuple(sorted(set(values))) for name, values in named.items()}
    bare = [
        stripped(record.title, (kind, colour))
        for record, kind, colour in zip(records, named["articleType"], named["baseColour"], strict=True)
    ]
    ids = tuple(record.item_id for record in records)
    return Products(
        ids=ids,
        titles=tuple(record.title for record in records),
        bare=tuple(bare),
        partial=tuple(
            tuple(half(title, f"{number} {view}") for number, title in zip(ids, bare, strict=True)) for view in range(views)
        ),
        labels={name: np.searchsorted(classes[name], values).astype(np.int64) for name, values in named.items()},
        classes=classes,
        pixels=_pixels(folder, records, cache, tick),
    )


def _pixels(folder: Path, records: Sequence[CatalogItem], cache: Path, tick: Callable[[float], None]) -> NDArray[np.uint8]:
    """Decoded photos, from the cache if it holds these very products."""
    stamp = zlib.crc32("\n".join(record.item_id for record in records).encode())
    file = cache / f"photos-{SIDE}-{stamp:08x}.npy"
    if file.exists():
        kept: NDArray[np.uint8] = np.load(file, allow_pickle=False)
        return kept
    _, opened = photos(folder)
    pixels = np.zeros((len(records), SIDE, SIDE, 3), dtype=np.uint8)
    for row, record in enumerate(records):
        photo = opened(record.item_id)
        if photo is not None:
            photo.draft("RGB", (2 * SIDE, 2 * SIDE))
            pixels[row] = np.asarray(photo.convert("RGB").resize((SIDE, SIDE)))
        tick((row + 1) / len(records))
    cache.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npy")
    np.save(part, pixels, allow_pickle=False)
    part.replace(file)
    return pixels


def texts(lines: Sequence[str], cache: Path, name: str = "minilm", tick: Callable[[float], None] = lambda _: None) -> Tensor:
    """Unit vectors [len(lines), width] of texts by a text encoder, from the cache if it holds them; empty texts are zeros."""
    stamp = zlib.crc32("\n".join((name, *lines)).encode())
    file = cache / f"texts-{len(lines)}-{stamp:08x}.npy"
    if file.exists():
        return torch.from_numpy(np.load(file, allow_pickle=False))
    encoder, tokenizer = TextEncoder(name), load_tokenizer(name)
    different = sorted({line for line in lines if line}, key=len)  # texts of like length share a batch: less padding
    made = []
    for part in encode_texts(encoder, tokenizer, different):
        made.append(part)
        tick(sum(map(len, made)) / len(different))
    vectors = torch.cat([*made, torch.zeros(1, encoder.width)])
    place = {line: row for row, line in enumerate(different)}
    result = vectors[[place.get(line, len(different)) for line in lines]]
    cache.mkdir(parents=True, exist_ok=True)
    part_file = file.with_suffix(".part.npy")
    np.save(part_file, result.numpy(), allow_pickle=False)
    part_file.replace(file)
    return result


def cropped(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Another view of photos: a third to two thirds of each side, scaled up again, perhaps mirrored, in other light.

    Args:
        pixels: uint8 [B, S, S, 3].
        draw: chance.

    Returns:
        uint8 [B, S, S, 3].
    """
    count, side = len(pixels), pixels.shape[1]
    share = 1 / 3 + torch.rand(count, generator=draw) / 3
    place = (torch.rand(count, 2, generator=draw) * 2 - 1) * (1 - share).unsqueeze(1)
    mirror = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    frames = torch.zeros(count, 2, 3)
    frames[:, 0, 0], frames[:, 1, 1], frames[:, :, 2] = share * mirror, share, place
    grid = functional.affine_grid(frames, [count, 3, side, side], align_corners=False)
    seen = functional.grid_sample(pixels.permute(0, 3, 1, 2).to(torch.float32), grid, align_corners=False)
    light = 0.7 + 0.6 * torch.rand(count, 1, 1, 1, generator=draw)
    return (seen * light).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

"""Catalogue items with a label each: titles, photos as pixels, and a split that does not move when items are added."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.catalog import CatalogItem
from contracts.errors import ConfigurationError
from producers.readers import fashion, jsonl

Ints = NDArray[np.int64]
Open = Callable[[CatalogItem], Image.Image | None]
PARTS = ("train", "validation", "test")
RARE = 10
"""Items that a class must have to be learned, by default."""


@dataclass(frozen=True)
class Items:
    """Labelled items.

    Attributes:
        task: what the labels are.
        ids: of the items, n of them.
        titles: likewise.
        labels: int64 [n], row of `classes`; -1 where nobody has labelled the item.
        classes: names, sorted.
        pixels: uint8 [n, S, S, 3] RGB, black where there is no photo; None if photos are not read.
        pictured: bool [n], whether there is a photo.
        left_out: items whose class is too rare.
    """

    task: str
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    labels: Ints
    classes: tuple[str, ...]
    pixels: NDArray[np.uint8] | None
    pictured: NDArray[np.bool_]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> int:
        """CRC-32 of ids, titles, labels and photos: whether two trainings read the same items."""
        text = "\n".join((*self.ids, *self.titles, *self.classes))
        value = zlib.crc32(self.labels.tobytes(), zlib.crc32(text.encode()))
        return value if self.pixels is None else zlib.crc32(self.pixels.tobytes(), value)

    def part(self, name: str) -> Ints:
        """Rows of `train` (80 %), `validation` or `test` (10 % each), by the hash of the id."""
        return np.flatnonzero((part_of(self.ids) == PARTS.index(name)) & (self.labels >= 0)).astype(np.int64)


def part_of(ids: Sequence[str]) -> Ints:
    """Row of `PARTS` of each id, int64 [n], by its hash: an item stays where it is when others come or go."""
    tenth = np.array([zlib.crc32(number.encode()) % 10 for number in ids], dtype=np.int64)
    return np.where(tenth < 8, 0, tenth - 7)


def label_of(item: CatalogItem, task: str) -> str | None:
    """What a catalogue record says for a task.

    Args:
        item: the record.
        task: `base_colour` (the first colour family), `master_category`, `sub_category` (steps of the first category's path),
            or the name of an attribute, in snake_case or as it is written.
    """
    if task == "base_colour":
        return item.color_families[0] if item.color_families else None
    steps = item.categories[0].split(" > ") if item.categories else []
    if task in {"master_category", "sub_category"}:
        place = 0 if task == "master_category" else 1
        return steps[place] if place < len(steps) else None
    head, *rest = task.split("_")
    attribute = item.attributes.get(task) or item.attributes.get(head + "".join(word.title() for word in rest))
    return attribute.text[0] if attribute and attribute.text else None


def read_records(data: Path) -> list[CatalogItem]:
    """A catalogue: a `.jsonl` file of our items, or a folder with `products_44446.csv.gz`.

    Raises:
        ConfigurationError: if it is neither.
        ContractError: naming the line of a broken record.
    """
    if data.is_file():
        return list(jsonl.read_items(data))
    if not (data / fashion.PRODUCTS).exists():
        message = f"--data: {data} is neither a .jsonl file of catalogue items nor a folder with {fashion.PRODUCTS}"
        raise ConfigurationError(message)
    return list(fashion.read_items(data, "fashion", lambda _: None, only_with_photo=False))


def photos(data: Path) -> tuple[frozenset[str], Callable[[str], Image.Image | None]]:
    """Which items have a photo, and a function that opens it, scaled while it is decoded."""
    archive = data / fashion.PHOTOS
    if not archive.exists():
        return frozenset(), lambda _: None
    tar = tarfile.open(archive)  # noqa: SIM115 - read as long as the function lives
    members = {Path(member.name).stem: member for member in tar if member.name.endswith(".jpg")}

    def opened(number: str) -> Image.Image | None:
        stream = tar.extractfile(members[number]) if number in members else None
        return Image.open(io.BytesIO(stream.read())) if stream else None

    return frozenset(members), opened


def read(data: Path, task: str, side: int | None = None, limit: int | None = None, rare: int = RARE, seed: int = 0) -> Items:
    """Labelled items of a catalogue.

    Args:
        data: see :func:`read_records`.
        task: see :func:`label_of`.
        side: S, pixels of a photo's side; then only items with a photo are taken. None reads no photos.
        limit: a sample of so many items to learn from, of a quarter of that to stop by, and of twice as many to measure.
        rare: least number of items of a class to learn from; smaller classes are left out.
        seed: of the sample.

    Raises:
        ConfigurationError: if no item has such a label, or fewer than two classes are left.
    """
    records = read_records(data)
    found = [(record, label_of(record, task)) for record in records]
    labelled = [(record, label) for record, label in found if label]
    if not labelled:
        known = sorted({name for record in records for name in record.attributes})
        message = f"--task: no item has {task!r}, expected base_colour, master_category, sub_category or one of {known}"
        raise ConfigurationError(message)
    have, opened = photos(data) if side and data.is_dir() else (frozenset[str](), lambda _: None)
    if side:
        labelled = [(record, label) for record, label in labelled if record.item_id in have or record.images]
    places = part_of([record.item_id for record, _ in labelled])
    if limit is not None:
        rows = np.random.default_rng(seed).permutation(len(labelled))
        sizes = zip(range(len(PARTS)), (limit, max(1, limit // 4), 2 * limit), strict=True)
        rows = np.sort(np.concatenate([rows[places[rows] == place][:size] for place, size in sizes]))
        labelled, places = [labelled[row] for row in rows], places[rows]
    counts = Counter(label for (_, label), place in zip(labelled, places, strict=True) if place == 0)
    kept = [(record, label) for record, label in labelled if counts[label] >= rare]
    classes = tuple(sorted({label for _, label in kept}))
    if len(classes) < 2:
        message = (
            f"--rare: {rare} leaves {len(classes)} classes of {task!r}, expected at least two; counts {counts.most_common(3)}"
        )
        raise ConfigurationError(message)
    numbers = {name: row for row, name in enumerate(classes)}
    pixels, pictured = (
        _pixels([record for record, _ in kept], side, opened) if side else (None, np.zeros(len(kept), dtype=bool))
    )
    return Items(
        task=task,
        ids=tuple(record.item_id for record, _ in kept),
        titles=tuple(record.title for record, _ in kept),
        labels=np.array([numbers[label] for _, label in kept], dtype=np.int64),
        classes=classes,
        pixels=pixels,
        pictured=pictured,
        left_out=len(labelled) - len(kept),
    )


def unlabelled(data: Path, side: int | None, limit: int | None, wanted: frozenset[str], seed: int = 0) -> Items:
    """Items of a catalogue without labels.

    Args:
        data: see :func:`read_records`.
        side: see :func:`read`; items without a photo are taken too.
        limit: a sample of so many items, and those that are wanted.
        wanted: ids that must be in it.
        seed: of the sample.
    """
    records = read_records(data)
    if limit is not None and limit < len(records):
        drawn = set(np.random.default_rng(seed).permutation(len(records))[:limit].tolist())
        records = [record for row, record in enumerate(records) if row in drawn or record.item_id in wanted]
    _, opened = photos(data) if side and data.is_dir() else (frozenset[str](), lambda _: None)
    pixels, pictured = _pixels(records, side, opened) if side else (None, np.zeros(len(records), dtype=bool))
    return Items(
        task="",
        ids=tuple(record.item_id for record in records),
        titles=tuple(record.title for record in records),
        labels=np.full(len(records), -1, dtype=np.int64),
        classes=(),
        pixels=pixels,
        pictured=pictured,
    )


def _pixels(
    records: list[CatalogItem], side: int, opened: Callable[[str], Image.Image | None]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = np.zeros((len(records), side, side, 3), dtype=np.uint8)
    pictured = np.zeros(len(records), dtype=bool)
    for row, photo in enumerate(_photos(records, opened)):
        if photo is not None:
            photo.draft("RGB", (side, side))
            pixels[row] = np.asarray(photo.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
            pictured[row] = True
    return pixels, pictured


def _photos(records: list[CatalogItem], opened: Callable[[str], Image.Image | None]) -> Iterator[Image.Image | None]:
    """The photo of each record: from the archive, or the first `file:` picture that is there."""
    for record in records:
        photo = opened(record.item_id)
        if photo is None and record.images and record.images[0].uri.startswith("file://"):
            path = Path(record.images[0].uri.removeprefix("file://"))
            photo = Image.open(path) if path.exists() else None
        yield photo

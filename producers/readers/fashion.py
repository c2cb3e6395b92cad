"""A fashion catalogue: a CSV of attributes and titles, and a tar of photos named by product id."""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path

from contracts.catalog import Attribute, CatalogItem, Image
from contracts.errors import InvalidField

PRODUCTS, PHOTOS = "products_44446.csv.gz", "images_224.tar"
_ATTRIBUTES = ("gender", "season", "usage", "articleType")


def extract_photos(folder: Path, target: Path) -> dict[str, Path]:
    """Unpack the photos that are not in `target` yet; product id to file.

    Raises:
        InvalidField: if the archive is not in `folder`.
    """
    archive = folder / PHOTOS
    if not archive.exists():
        message = f"{folder} has no {PHOTOS}"
        raise InvalidField(message, path=PHOTOS)
    target.mkdir(parents=True, exist_ok=True)
    photos = {file.stem: file for file in target.glob("*.jpg")}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)  # only the last part counts: a path inside an archive is not to be trusted
            source = tar.extractfile(member) if member.isfile() and name.suffix == ".jpg" else None
            if source is not None and name.stem not in photos:
                partial = target / f"{name.stem}.part"
                partial.write_bytes(source.read())
                photos[name.stem] = partial.rename(target / f"{name.stem}.jpg")
    return photos


def read_items(folder: Path, tenant_id: str, photos: dict[str, Path], *, only_with_photo: bool = True) -> Iterator[CatalogItem]:
    """Products as catalogue items.

    Args:
        folder: holds `products_44446.csv.gz`.
        tenant_id: shop they belong to.
        photos: product id to file, of :func:`extract_photos`.
        only_with_photo: leave out products without a photo.

    Raises:
        InvalidField: if the table is not in `folder`.
    """
    table = folder / PRODUCTS
    if not table.exists():
        message = f"{folder} has no {PRODUCTS}"
        raise InvalidField(message, path=PRODUCTS)
    with gzip.open(table, "rt", encoding="utf8", newline="") as stream:
        for row in csv.DictReader(stream):
            photo = photos.get(row["id"])
            if photo is None and only_with_photo:
                continue
            yield CatalogItem(
                item_id=row["id"],
                title=row["productDisplayName"] or row["articleType"],
                tenant_id=tenant_id,
                categories=(" > ".join((row["masterCategory"], row["subCategory"], row["articleType"])),),
                color_families=(row["baseColour"],) if row["baseColour"] else (),
                attributes={name: Attribute(text=(row[name],)) for name in _ATTRIBUTES if row[name]},
                images=(Image(uri=photo.resolve().as_uri(), width=224, height=224),) if photo else (),
            )

"""A fashion catalogue: a CSV of attributes and titles, and a tar of photos named by product id."""

from __future__ import annotations

import base64
import csv
import gzip
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts.catalog import Attribute, CatalogItem, Image
from contracts.errors import InvalidField

PRODUCTS, PHOTOS = "products_44446.csv.gz", "images_224.tar"
SIDE = 224
_ATTRIBUTES = ("gender", "season", "usage", "articleType")


class Photos:
    """The photos of an archive by product id, unpacked one by one as they are asked for, and only once.

    Args:
        folder: holds `images_224.tar`.
        target: where to unpack; created if missing.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self._archive = folder / PHOTOS
        self._target = target
        self._tar: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}

    def __enter__(self) -> Self:
        """Open the archive.

        Raises:
            InvalidField: if it is not in the folder.
        """
        if not self._archive.exists():
            message = f"{self._archive.parent} has no {PHOTOS}"
            raise InvalidField(message, path=PHOTOS)
        self._target.mkdir(parents=True, exist_ok=True)
        self._tar = tarfile.open(self._archive)
        # Only the last part of a name counts: a path inside an archive is not to be trusted.
        files = (member for member in self._tar if member.isfile() and member.name.endswith(".jpg"))
        self._members = {Path(member.name).stem: member for member in files}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._tar is not None:
            self._tar.close()

    def path(self, product_id: str) -> Path | None:
        """The unpacked photo of a product, None if the archive has none."""
        member = self._members.get(product_id)
        if member is None or self._tar is None:
            return None
        photo = self._target / f"{product_id}.jpg"
        source = None if photo.exists() else self._tar.extractfile(member)
        if source is not None:
            partial = photo.with_suffix(".part")
            partial.write_bytes(source.read())
            partial.rename(photo)
        return photo


def read_items(
    folder: Path, tenant_id: str, photo_of: Callable[[str], Path | None], *, only_with_photo: bool = True, inline: bool = False
) -> Iterator[CatalogItem]:
    """Products as catalogue items.

    Args:
        folder: holds `products_44446.csv.gz`.
        tenant_id: shop they belong to.
        photo_of: product id to file, such as :meth:`Photos.path`.
        only_with_photo: leave out products without a photo.
        inline: put the photo itself into the record (a `data:` URI), for a catalogue worker that cannot read the file.

    Raises:
        InvalidField: if the table is not in `folder`.
    """
    table = folder / PRODUCTS
    if not table.exists():
        message = f"{folder} has no {PRODUCTS}"
        raise InvalidField(message, path=PRODUCTS)
    with gzip.open(table, "rt", encoding="utf8", newline="") as stream:
        for row in csv.DictReader(stream):
            photo = photo_of(row["id"])
            if photo is None and only_with_photo:
                continue
            yield CatalogItem(
                item_id=row["id"],
                title=row["productDisplayName"] or row["articleType"],
                tenant_id=tenant_id,
                categories=(" > ".join((row["masterCategory"], row["subCategory"], row["articleType"])),),
                color_families=(row["baseColour"],) if row["baseColour"] else (),
                attributes={name: Attribute(text=(row[name],)) for name in _ATTRIBUTES if row[name]},
                images=(_image(photo, inline=inline),) if photo else (),
            )


def _image(photo: Path, *, inline: bool) -> Image:
    if not inline:
        return Image(uri=photo.resolve().as_uri(), width=SIDE, height=SIDE)
    content = base64.b64encode(photo.read_bytes()).decode()
    return Image(uri=f"data:image/jpeg;base64,{content}", width=SIDE, height=SIDE)

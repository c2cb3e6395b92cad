"""Uploaded pictures: checked, drawn anew without metadata, named by their content, bounded in number."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from gateway.problem import Problem

_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_SIDE = 4096
_STORED_SIDE = 1024
_TITLE = "The picture cannot be taken"


class UploadStore:
    """Pictures under `folder`, as JPEG of at most 1,024 pixels a side.

    Args:
        folder: made if it is not there.
        address: path under which the gateway serves `folder`.
        pictures_max: the oldest are removed beyond this.
    """

    def __init__(self, folder: Path, address: str, pictures_max: int) -> None:
        self._folder = folder
        self._address = address.rstrip("/")
        self._max = pictures_max

    async def store(self, content: bytes) -> tuple[str, str, int, int]:
        """Keep one picture.

        Returns:
            `file:` address for the catalogue, path for a browser, width and height in pixels.

        Raises:
            Problem: 415 for what is no picture, 413 for too many pixels, 507 where nothing can be written.
        """
        try:
            return await asyncio.to_thread(self._store, content)
        except OSError as error:
            detail = f"the gateway has no place for uploaded pictures ({error.strerror}): give items https or data pictures"
            raise Problem(507, "no-storage", _TITLE, detail) from error

    def _store(self, content: bytes) -> tuple[str, str, int, int]:
        picture = _redrawn(content)
        file = self._folder / f"{hashlib.sha256(content).hexdigest()[:32]}.jpg"
        self._folder.mkdir(parents=True, exist_ok=True)
        picture.save(file, "JPEG", quality=88)
        kept = sorted(self._folder.glob("*.jpg"), key=lambda path: path.stat().st_mtime)
        for old in kept[: max(0, len(kept) - self._max)]:
            old.unlink(missing_ok=True)
        return file.resolve().as_uri(), f"{self._address}/{file.name}", picture.width, picture.height


def _redrawn(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if max(picture.size) > _MAX_SIDE:
                detail = f"the picture has {picture.width} x {picture.height} pixels, at most {_MAX_SIDE} a side are taken"
                raise Problem(413, "picture-too-large", _TITLE, detail, extra={"limit": _MAX_SIDE})
            picture.load()
            drawn = ImageOps.exif_transpose(picture).convert("RGBA")  # the metadata, and with it the turn, is left out
    except Image.DecompressionBombError as error:
        detail = f"the picture has too many pixels, at most {_MAX_SIDE} a side are taken"
        raise Problem(413, "picture-too-large", _TITLE, detail, extra={"limit": _MAX_SIDE}) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        detail = "the body is no readable picture, expected the bytes of a PNG, JPEG or WebP"
        raise Problem(415, "not-a-picture", _TITLE, detail) from error
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    result = white.convert("RGB")
    result.thumbnail((_STORED_SIDE, _STORED_SIDE))
    return result

"""Pictures by URI, with limits on place, size, type and time: what a shop writes into its catalogue is not trusted."""

from __future__ import annotations

import base64
import binascii
import io
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from contracts.errors import ContractError, DependencyError
from contracts.settings import CatalogSettings, resolve

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 40_000_000  # a small file can unpack to gigabytes


class PictureRefused(ContractError):
    """The picture may not be read, is too large, or is none; trying again cannot help."""

    code = "picture_refused"


class PictureUnavailable(DependencyError):
    """The picture's host did not answer in time."""


class PictureLoader:
    """Loads pictures as the item encoder takes them.

    Args:
        settings: roots, hosts and limits.
    """

    def __init__(self, settings: CatalogSettings) -> None:
        self._settings = settings
        self._roots = [resolve(root).resolve() for root in (*settings.image_roots, Path("var"))]
        self._http = httpx.Client(timeout=settings.image_timeout_seconds, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def load(self, uri: str) -> NDArray[np.uint8]:
        """RGB pixels [H, V, 3] of the settings' size: scaled to cover the square, the middle cut out.

        Raises:
            PictureRefused: scheme, place, host, size or type is not allowed, or the bytes are no picture.
            PictureUnavailable: the host did not answer in time.
        """
        try:
            content = self._read(uri)
        except (ValueError, httpx.InvalidURL) as error:  # brackets that do not match, a port that is none
            message = f"picture: {uri[:100]!r} is no address: {error}"
            raise PictureRefused(message) from error
        return self._pixels(content)

    def _read(self, uri: str) -> bytes:
        scheme = uri.partition(":")[0].lower()
        if scheme == "data":
            return self._data(uri)
        if scheme == "file":
            return self._file(uri)
        if scheme in ("http", "https"):
            return self._fetch(uri)
        message = f"picture: scheme {scheme[:20]!r} is not allowed, expected file, data, http or https"
        raise PictureRefused(message)

    def _check_size(self, size: int) -> None:
        if size > self._settings.image_max_bytes:
            message = f"picture: {size} bytes, the limit is {self._settings.image_max_bytes}"
            raise PictureRefused(message)

    def _data(self, uri: str) -> bytes:
        head, comma, body = uri.partition(",")
        if not comma:
            message = "picture: a data URI without a comma"
            raise PictureRefused(message)
        self._check_size(len(body) * 3 // 4 if head.endswith(";base64") else len(body) // 3)
        try:
            return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
        except (binascii.Error, ValueError) as error:
            message = f"picture: the data URI is not base64: {error}"
            raise PictureRefused(message) from error

    def _file(self, uri: str) -> bytes:
        parts = urlsplit(uri)
        try:
            path = Path(url2pathname(parts.path)).resolve()
            if parts.netloc not in ("", "localhost") or not any(path.is_relative_to(root) for root in self._roots):
                message = "picture: the file lies outside of the allowed folders (VITRINE_CATALOG__IMAGE_ROOTS)"
                raise PictureRefused(message)
            self._check_size(path.stat().st_size)
            if not path.is_file():
                message = "picture: not a regular file"
                raise PictureRefused(message)
            return path.read_bytes()
        except (OSError, ValueError) as error:
            message = f"picture: the file cannot be read: {error}"
            raise PictureRefused(message) from error

    def _fetch(self, uri: str) -> bytes:
        host = urlsplit(uri).hostname or ""
        if host not in self._settings.image_hosts:
            message = f"picture: host {host[:100]!r} is not allowed (VITRINE_CATALOG__IMAGE_HOSTS)"
            raise PictureRefused(message)
        deadline = time.monotonic() + self._settings.image_timeout_seconds
        content = bytearray()
        try:
            with self._http.stream("GET", uri) as response:
                if response.status_code >= 500:
                    message = f"picture: {host} answered {response.status_code}"
                    raise PictureUnavailable(message)
                kind = response.headers.get("content-type", "")
                if response.status_code != 200 or not kind.startswith("image/"):
                    message = f"picture: {host} answered {response.status_code} {kind[:50]!r}, expected 200 image/*"
                    raise PictureRefused(message)
                for chunk in response.iter_bytes(65_536):
                    content += chunk
                    self._check_size(len(content))
                    if time.monotonic() > deadline:
                        message = f"picture: {host} took longer than {self._settings.image_timeout_seconds} s"
                        raise PictureUnavailable(message)
        except httpx.HTTPError as error:
            message = f"picture: {host}: {type(error).__name__}: {error}"
            raise PictureUnavailable(message) from error
        return bytes(content)

    def _pixels(self, content: bytes) -> NDArray[np.uint8]:
        side = self._settings.image_size
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    message = f"picture: {picture.width} x {picture.height} pixels, the limit is {MAX_PIXELS} in all"
                    raise PictureRefused(message)
                picture.draft("RGB", (side, side))  # JPEG: unpack no more than is needed
                whole = picture.convert("RGBA") if picture.mode in ("RGBA", "LA", "P", "PA") else picture.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            message = f"picture: {len(content)} bytes that are no {'/'.join(FORMATS)}: {error}"
            raise PictureRefused(message) from error
        if whole.mode == "RGBA":
            paper = Image.new("RGBA", whole.size, (255, 255, 255, 255))
            whole = Image.alpha_composite(paper, whole).convert("RGB")
        if whole.size != (side, side):
            whole = ImageOps.fit(whole, (side, side), Image.Resampling.BILINEAR)
        return np.asarray(whole, np.uint8)

"""Where readers get their bytes from."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import BinaryIO, cast

from contracts.errors import InvalidField


def open_source(path: Path) -> BinaryIO:
    """A file, gzip by its suffix, or standard input for `-`.

    Raises:
        InvalidField: if the file cannot be read.
    """
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidField(message, path="file") from error

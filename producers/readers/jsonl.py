"""One JSON object a line: our own events or catalogue items."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from contracts.catalog import CatalogItem, decode_item
from contracts.errors import ContractError
from contracts.events import Event, decode_event

T = TypeVar("T")


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    if str(path) == "-":
        return cast("BinaryIO", sys.stdin.buffer)
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    with _open(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield decode(line)
            except ContractError as error:
                error.args = (f"line {number}: {error}",)
                raise


def read_events(path: Path) -> Iterator[Event]:
    """Events of a `.jsonl` or `.jsonl.gz` file, `-` for standard input.

    Raises:
        ContractError: naming the line and the field; what came before was yielded.
    """
    yield from _lines(path, decode_event)


def read_items(path: Path) -> Iterator[CatalogItem]:
    """Catalogue items of a `.jsonl` or `.jsonl.gz` file, `-` for standard input.

    Raises:
        ContractError: naming the line and the field; what came before was yielded.
    """
    yield from _lines(path, decode_item)

"""One JSON object a line: our own events or catalogue items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from contracts.catalog import CatalogItem, decode_item
from contracts.errors import ContractError
from contracts.events import Event, decode_event
from producers.readers.source import open_source

T = TypeVar("T")
OnError = Callable[[ContractError], object]


def _lines(path: Path, decode: Callable[[bytes], T], on_error: OnError | None) -> Iterator[T]:
    with open_source(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield decode(line)
            except ContractError as error:
                error.args = (f"line {number}: {error}",)
                if on_error is None:
                    raise
                on_error(error)


def read_events(path: Path, on_error: OnError | None = None) -> Iterator[Event]:
    """Events of a `.jsonl` or `.jsonl.gz` file, `-` for standard input.

    Args:
        path: the file.
        on_error: told of a bad line, which is then left out; without it a bad line ends the reading.

    Raises:
        ContractError: naming the line and the field; what came before was yielded.
    """
    yield from _lines(path, decode_event, on_error)


def read_items(path: Path, on_error: OnError | None = None) -> Iterator[CatalogItem]:
    """Catalogue items of a `.jsonl` or `.jsonl.gz` file, `-` for standard input; see :func:`read_events`.

    Raises:
        ContractError: naming the line and the field; what came before was yielded.
    """
    yield from _lines(path, decode_item, on_error)

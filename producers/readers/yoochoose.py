"""Clicks as a table SessionId, ItemId, Time (unix seconds), the layout of the RecSys Challenge 2015 samples.

The items have no text and no picture: they are served by behaviour alone, with a model that
`vitrine train clicks` made of the same kind of table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from contracts.catalog import CatalogItem
from contracts.errors import InvalidField
from contracts.events import Event, EventItem, Page
from producers.readers.source import open_source

COLUMNS = ("SessionId", "ItemId", "Time")


def _rows(path: Path) -> Iterator[tuple[str, str, int]]:
    """Session, item and milliseconds of each click, in the order of the file."""
    with open_source(path) as source:
        rows = csv.DictReader(TextIOWrapper(source, encoding="utf8", newline=""), delimiter="\t")
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            message = f"{path}: columns {missing} are missing, expected a tab-separated table with {list(COLUMNS)}"
            raise InvalidField(message, path=missing[0])
        for row in rows:
            yield row["SessionId"], row["ItemId"], round(float(row["Time"]) * 1000)


def read_events(path: Path, tenant_id: str) -> Iterator[Event]:
    """Each click as a `view_item`; a session is a visitor, since the table knows no more. In order of time.

    Raises:
        InvalidField: if the table has other columns.
    """
    for number, (session, item, milliseconds) in enumerate(sorted(_rows(path), key=lambda row: row[2])):
        yield Event(
            event_id=f"{path.name}:{session}:{number}",
            event_name="view_item",
            event_time=milliseconds,
            tenant_id=tenant_id,
            visitor_id=f"session-{session}",
            session_id=session,
            page=Page(page_type="product"),
            items=(EventItem(item_id=item),),
        )


def read_items(path: Path, tenant_id: str) -> Iterator[CatalogItem]:
    """One bare catalogue item for every item that was clicked, in order of first click.

    Raises:
        InvalidField: if the table has other columns.
    """
    for item in dict.fromkeys(item for _, item, _ in _rows(path)):
        yield CatalogItem(item_id=item, title="", tenant_id=tenant_id)

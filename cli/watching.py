"""How `vitrine watch` shows pages: a table that grows by a row a page, or JSON lines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumers.freshness import Freshness
from consumers.pages import Received
from contracts.recommendations import PageRecommendation, RecommendedItem

_SHOWN_ITEMS = 4
_COLUMNS = (("time", 12), ("visitor", 22), ("events", 6), ("page", 8), ("ms", 6))


class Watching:
    """Shows pages and remembers how fresh they were.

    Args:
        as_json: one JSON object a line, and nothing else on standard output.
        console: where the table goes.
    """

    def __init__(self, *, as_json: bool, console: Console | None = None) -> None:
        self._as_json = as_json
        self._console = console or Console()
        self._freshness = Freshness()

    def show(self, pages: Iterable[Received], count: int | None) -> None:
        """Show pages until `count` of them were shown or they end."""
        if not self._as_json:
            self._print([Text(name, style="dim") for name, _ in _COLUMNS], Text("items and why", style="dim"))
        for received in islice(pages, count):
            self._freshness.add(received.freshness_ms)
            if self._as_json:
                typer.echo(msgspec.json.encode(received.page).decode())
            else:
                self._row(received)

    def finish(self, dropped: int) -> None:
        """The last line, on standard error so that JSON stays JSON."""
        found = self._freshness.summary()
        if found:
            parts = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
            typer.echo(f"{self._freshness.pages} pages; event to here, ms: {parts}; {dropped} repeats dropped", err=True)
        else:
            typer.echo("no page came", err=True)

    def _row(self, received: Received) -> None:
        page = received.page
        arrived = datetime.fromtimestamp(received.arrived_time / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]
        flag = "yellow" if page.degraded else "green"
        cells = [
            Text(arrived, style="dim"),
            Text(page.visitor_id, style="bold"),
            Text(str(page.sequence)),
            Text(page.page_type),
            Text(f"{page.latency_ms.event_to_emit:.0f}", style=flag),
        ]
        self._print(cells, self._items(page))

    def _print(self, cells: list[Text], last: Text) -> None:
        row = Table.grid(padding=(0, 1))
        for _, width in _COLUMNS:
            row.add_column(width=width, no_wrap=True, overflow="ellipsis")
        row.add_column(no_wrap=True, overflow="ellipsis")
        row.add_row(*cells, last)
        self._console.print(row)

    def _items(self, page: PageRecommendation) -> Text:
        text = Text()
        if page.degraded:
            text.append(f"{page.fallback_reason} ", style="yellow")
        items = [item for placement in page.placements for item in placement.items]
        for item in items[:_SHOWN_ITEMS]:
            text.append(item.item_id)
            text.append(f" {_why(item)}  ", style="dim")
        return text


def _why(item: RecommendedItem) -> str:
    return (item.reason[0] if item.reason else item.source.replace("_", " ")).lower()

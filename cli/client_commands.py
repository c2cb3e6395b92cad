"""`vitrine publish`, `replay`, `watch`, `erase`: a shop's side of the topics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.events import Event
    from contracts.recommendations import PageRecommendation
    from contracts.settings import Settings

Tenant = Annotated[str | None, typer.Option("--tenant", help="Shop (VITRINE_TENANT_ID).")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(publish)
    app.command()(replay)
    app.command()(watch)
    app.command()(erase)


def _settings() -> Settings:
    from contracts.settings import Settings

    return Settings()


def _send(events: Iterable[Event], settings: Settings, linger_ms: int = 0) -> int:
    from producers.publisher import EventPublisher

    sent = 0
    with EventPublisher(settings.kafka, linger_ms=linger_ms) as publisher:
        for event in events:
            publisher.publish(event)
            sent += 1
    return sent


def publish(
    file: Annotated[
        Path | None, typer.Argument(help="Events as JSON lines (.jsonl, .jsonl.gz), or - for standard input.")
    ] = None,
    visitor: Annotated[str | None, typer.Option(help="Visitor id of a single event.")] = None,
    name: Annotated[
        str, typer.Option("--event", help="GA4 event name: view_item, add_to_cart, purchase, search …")
    ] = "view_item",
    item: Annotated[list[str] | None, typer.Option(help="Item id; give it again for several items.")] = None,
    page: Annotated[str, typer.Option(help="Page type: home, category, search, product, cart …")] = "home",
    tenant: Tenant = None,
) -> None:
    """Publish one event from options, or many from a file, and wait until the broker has them.

    One event:   vitrine publish --visitor v-1 --event view_item --item SKU-7 --page product
    Many:        vitrine publish events.jsonl      or      generate | vitrine publish -

    A file is checked line by line: the first bad line is named with its field and what was expected, and what came before
    it is published.
    """
    from producers.readers import jsonl

    settings = _settings()
    if file is not None:
        typer.echo(f"{_send(jsonl.read_events(file), settings, linger_ms=5)} events published")
        return
    if visitor is None:
        message = "give --visitor and --item for one event, or a file of JSON lines; see vitrine publish --help"
        raise typer.BadParameter(message)
    event = _one_event(tenant or settings.tenant_id, visitor, name, item or [], page)
    _send([event], settings)
    typer.echo(f"{event.event_id} published; vitrine watch --visitor {visitor} shows the page that follows")


def _one_event(tenant: str, visitor: str, name: str, items: list[str], page: str) -> Event:
    from uuid import uuid4

    import msgspec

    from contracts.events import decode_event

    raw = {
        "event_id": str(uuid4()),
        "event_name": name,
        "event_time": time.time_ns() // 1_000_000,
        "tenant_id": tenant,
        "visitor_id": visitor,
        "page": {"page_type": page},
        "items": [{"item_id": each} for each in items],
    }
    return decode_event(msgspec.json.encode(raw))


def replay(
    file: Annotated[Path, typer.Argument(help="Events (.jsonl), or clicks SessionId, ItemId, Time (.tsv); .gz as well.")],
    speed: Annotated[
        float, typer.Option(min=0, help="How many times faster than it happened; 0 is as fast as possible.")
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
    with_items: Annotated[bool, typer.Option(help="Publish the items of a click table first.")] = True,
    tenant: Tenant = None,
) -> None:
    """Publish events of a file at the pace at which they happened.

    Event times stay as they are: sessions expire by them, so a replay of last month behaves like live traffic. Give a
    replay a tenant of its own (--tenant), so that its clock is not that of live visitors.

    The clicks of a table have items without text or picture; they are served by the behaviour vectors of the model that
    `vitrine train clicks` made of the same table.
    """
    from itertools import islice

    from rich.progress import track

    from producers.readers import jsonl, yoochoose
    from producers.replay import paced

    settings = _settings()
    shop = tenant or settings.tenant_id
    is_table = ".tsv" in file.suffixes
    if is_table and with_items:
        _publish_items(yoochoose.read_items(file, shop), settings)
    events = list(islice(yoochoose.read_events(file, shop) if is_table else jsonl.read_events(file), limit))
    shown = track(paced(events, speed), "replaying", total=len(events), transient=True)
    started = time.monotonic()
    sent = _send(shown, settings, linger_ms=0 if speed else 5)
    typer.echo(f"{sent} events in {time.monotonic() - started:.1f} s")


def _publish_items(items: Iterable[object], settings: Settings) -> int:
    from producers.publisher import CatalogPublisher

    count = 0
    with CatalogPublisher(settings.kafka, linger_ms=5) as publisher:
        for item in items:
            publisher.upsert(item)  # type: ignore[arg-type]
            count += 1
    return count


def watch(
    visitor: Annotated[str | None, typer.Option(help="Only this visitor's pages.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many pages.")] = None,
    from_beginning: Annotated[bool, typer.Option(help="Show what the topic holds first.")] = False,
) -> None:
    """Show pages as they come: visitor, what triggered them, the first items with their reasons, and the milliseconds.

    Of each visitor only newer pages are shown: one that was made again after a crash is recognised and dropped.
    """
    from itertools import islice

    import msgspec
    from rich.console import Console

    from consumers.pages import PageSubscriber

    console = Console(soft_wrap=json)
    with PageSubscriber(_settings().kafka, visitor_id=visitor, from_beginning=from_beginning) as pages:
        try:
            for page in islice(pages, count):
                if json:
                    typer.echo(msgspec.json.encode(page).decode())
                else:
                    console.print(_summary(page))
        except KeyboardInterrupt:
            return


def _summary(page: PageRecommendation) -> str:
    grid = page.placements[0]
    items = "  ".join(f"{item.item_id} [dim]{item.reason[0].lower()}[/dim]" for item in grid.items[:4])
    flag = f" [yellow]degraded: {page.fallback_reason}[/yellow]" if page.degraded else ""
    return (
        f"[bold]{page.visitor_id}[/bold] #{page.sequence} {page.page_type} "
        f"[green]{page.latency_ms.event_to_emit:.0f} ms[/green]{flag}  {items}"
    )


def erase(visitor: Annotated[str, typer.Argument(help="Visitor id.")], tenant: Tenant = None) -> None:
    """Ask that everything kept of a visitor be removed: session, changelog and page; prints the receipt."""
    from uuid import uuid4

    import msgspec

    from producers.publisher import EventPublisher

    settings = _settings()
    receipt = str(uuid4())
    request = msgspec.json.encode({"request_id": receipt, "request_time": time.time_ns() // 1_000_000})
    with EventPublisher(settings.kafka) as publisher:
        publisher.erase(tenant or settings.tenant_id, visitor, request).wait()
    typer.echo(f"erasure of {visitor} accepted, receipt {receipt}")

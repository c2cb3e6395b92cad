"""`vitrine publish`, `replay`, `watch`, `erase`: a shop's side of the topics."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contracts.errors import ContractError
    from contracts.events import Event
    from contracts.settings import Settings

_RECEIPT_SECONDS = 60.0
Tenant = Annotated[str | None, typer.Option("--tenant", help="Shop (VITRINE_TENANT_ID).")]


class Format(StrEnum):
    """Layouts that `vitrine replay` reads."""

    AUTO = "auto"
    JSONL = "jsonl"
    YOOCHOOSE = "yoochoose"


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
    *,
    visitor: Annotated[str | None, typer.Option(help="Visitor id of a single event.")] = None,
    name: Annotated[
        str, typer.Option("--event", help="GA4 event name: view_item, add_to_cart, purchase, search …")
    ] = "view_item",
    item: Annotated[list[str] | None, typer.Option(help="Item id; give it again for several items.")] = None,
    page: Annotated[
        str | None, typer.Option(help="Page type: home, category, search, product, cart …; by default the event's own.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field, path=value: items[0].quantity=2, search_term=lamp.")
    ] = None,
    tenant: Tenant = None,
    keep_going: Annotated[bool, typer.Option(help="Name bad lines, leave them out, and publish the others.")] = False,
) -> None:
    """Publish one event from options, or many from a file, and wait until the broker has them.

    One event:   vitrine publish --visitor v-1 --event view_item --item SKU-7
    Many:        vitrine publish events.jsonl      or      generate | vitrine publish -

    A file is checked line by line: a bad line is named with its field and what was expected. What came before it is
    published; --keep-going publishes what comes after it too. Ends with 0 when every event was published, 1 when one was
    bad or the broker did not take them, 2 for wrong options.
    """
    settings = _settings()
    if file is not None:
        _publish_file(file, settings, keep_going=keep_going)
        return
    if visitor is None:
        message = "give --visitor and --item for one event, or a file of JSON lines; see vitrine publish --help"
        raise typer.BadParameter(message)
    event = _one_event(
        {"tenant_id": tenant or settings.tenant_id, "visitor_id": visitor, "event_name": name}, item, page, change
    )
    _send([event], settings)
    typer.echo(f"{event.event_id} published; vitrine watch --visitor {visitor} shows the pages of this visitor")


def _publish_file(file: Path, settings: Settings, *, keep_going: bool) -> None:
    from contracts.errors import BrokerUnavailable
    from producers.readers import jsonl

    bad: list[str] = []

    def note(error: ContractError) -> None:
        bad.append(str(error))
        typer.echo(f"vitrine: {error}", err=True)

    sent, what = 0, "events published"

    def counted() -> Iterator[Event]:
        nonlocal sent
        for event in jsonl.read_events(file, note if keep_going else None):
            yield event
            sent += 1

    try:
        _send(counted(), settings, linger_ms=5)
    except BrokerUnavailable:
        what = "events given to the broker, which did not acknowledge them all"
        raise
    finally:
        typer.echo(f"{sent} {what}" + (f", {len(bad)} bad lines left out" if bad else ""))
    if bad:
        raise typer.Exit(1)


def _one_event(head: dict[str, str], items: list[str] | None, page: str | None, changes: list[str] | None) -> Event:
    from uuid import uuid4

    import msgspec

    from contracts.events import decode_event
    from producers.repair import repaired

    raw: dict[str, object] = {"event_id": str(uuid4()), "event_time": time.time_ns() // 1_000_000, **head}
    raw["items"] = [{"item_id": each} for each in items or []]
    if page is not None:
        raw["page"] = {"page_type": page}
    return decode_event(repaired(msgspec.json.encode(raw), changes or []))


def replay(
    file: Annotated[Path, typer.Argument(help="Events (.jsonl), or clicks SessionId, ItemId, Time (.tsv); .gz as well.")],
    speed: Annotated[
        float, typer.Option(min=0, help="How many times faster than it happened; 0 is as fast as possible.")
    ] = 0.0,
    layout: Annotated[Format, typer.Option("--format", help="Layout of the file; auto goes by its name.")] = Format.AUTO,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
    with_items: Annotated[bool, typer.Option(help="Publish the items of a click table first.")] = True,
    tenant: Tenant = None,
) -> None:
    """Publish events of a file at the pace at which they happened.

    Event times stay as they are: sessions expire by them, so a replay of last month behaves like live traffic. Give a
    replay a tenant of its own (--tenant), so that its clock is not that of live visitors.

    The clicks of a table have items without text or picture; they are served by the behaviour vectors of the model that
    `vitrine train clicks` made of the same table. producers/readers/ shows how to bring a format of your own.
    """
    from itertools import islice

    from rich.progress import track

    from producers.readers import jsonl, yoochoose
    from producers.replay import paced

    settings = _settings()
    shop = tenant or settings.tenant_id
    is_table = layout is Format.YOOCHOOSE or (layout is Format.AUTO and ".tsv" in file.suffixes)
    if is_table and with_items:
        typer.echo(f"{_publish_items(file, shop, settings)} items published")
    events = yoochoose.read_events(file, shop) if is_table else _of_shop(jsonl.read_events(file), tenant)
    chosen = list(islice(events, limit)) if is_table or limit is not None else events
    total = len(chosen) if isinstance(chosen, list) else None
    shown = track(paced(chosen, speed), "replaying", total=total, transient=True)
    started = time.monotonic()
    sent = _send(shown, settings, linger_ms=0 if speed else 5)
    seconds = max(time.monotonic() - started, 1e-6)
    typer.echo(f"{sent} events in {seconds:.1f} s, {sent / seconds:.0f} a second")


def _of_shop(events: Iterator[Event], tenant: str | None) -> Iterator[Event]:
    import msgspec

    for event in events:
        yield event if tenant is None else msgspec.structs.replace(event, tenant_id=tenant)


def _publish_items(file: Path, tenant: str, settings: Settings) -> int:
    from producers.publisher import CatalogPublisher
    from producers.readers import yoochoose

    count = 0
    with CatalogPublisher(settings.kafka, linger_ms=5) as publisher:
        for item in yoochoose.read_items(file, tenant):
            publisher.upsert(item)
            count += 1
    return count


def watch(
    visitor: Annotated[str | None, typer.Option(help="Only this visitor's pages.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this shop's pages; by default all shops'.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many pages.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this time.")] = None,
    from_beginning: Annotated[bool, typer.Option(help="Show what the topic holds first, expired pages too.")] = False,
) -> None:
    """Show pages as they come: visitor, what triggered them, the first items with their reasons, and the milliseconds.

    Of each visitor only newer pages are shown: one that was made again after a crash is recognised and dropped, and so is one
    that has expired. The last line tells how long it took from the event to here (p50, p95, p99).
    """
    from cli.watching import Watching
    from consumers.pages import PageSubscriber

    end = time.monotonic() + seconds if seconds is not None else float("inf")
    watching = Watching(as_json=json)
    subscriber = PageSubscriber(
        _settings().kafka,
        visitor_id=visitor,
        tenant_id=tenant,
        from_beginning=from_beginning,
        with_expired=from_beginning,
        until=lambda: time.monotonic() > end,
    )
    try:
        with subscriber as pages:
            watching.show(pages.received(), count)
    except KeyboardInterrupt:
        pass
    finally:
        watching.finish(subscriber.dropped)


def erase(
    visitor: Annotated[str, typer.Argument(help="Visitor id.")],
    tenant: Tenant = None,
    *,
    wait: Annotated[float, typer.Option(min=0, help="Wait so many seconds for the worker's receipt; 0 does not wait.")] = 0.0,
    now: Annotated[
        bool, typer.Option("--now", help="Also cut the visitor's raw events and dead letters off the topics; see below.")
    ] = False,
) -> None:
    """Ask that everything kept of a visitor be removed: session, event ids, page, and what the ranker learned.

    The worker does it within seconds and writes a receipt without the visitor's id. Raw events and dead letters leave by
    retention (7 and 28 days). --now waits for the receipt (a minute, or --wait) and does not wait for retention: the visitor's
    partition is cut up to the events that are done, and raw events of other visitors in it go too; other visitors' dead letters
    stay. The broker drops whole segments: run it again an hour later, when the one that was being written has ended. Needs the
    operator's rights. Prints the receipt as JSON; ends with 1 when it did not come in time.
    """
    from uuid import uuid4

    import msgspec

    from consumers.erasure import await_receipt, scrub
    from contracts.erasures import ErasureRequest, encode_erasure
    from producers.publisher import EventPublisher

    settings = _settings()
    shop = tenant or settings.tenant_id
    request = ErasureRequest(str(uuid4()), time.time_ns() // 1_000_000)
    with EventPublisher(settings.kafka) as publisher:
        publisher.erase(shop, visitor, encode_erasure(request)).wait()
    typer.echo(f"erasure of {visitor} accepted, receipt {request.request_id}", err=bool(now or wait))
    if not (now or wait):
        return
    patience = wait or _RECEIPT_SECONDS
    receipt = await_receipt(settings, request.request_id, patience)
    if receipt is None:
        typer.echo(
            f"no receipt {request.request_id} within {patience:.0f} s: is a worker running? see vitrine status", err=True
        )
        raise typer.Exit(1)
    told: dict[str, object] = {"receipt": receipt}
    if now:
        told["scrubbed"] = scrub(settings, visitor, receipt, lambda what: typer.echo(f"cutting off {what}", err=True))
    typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=1).decode())

"""`vitrine catalog`: products into the catalogue topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.catalog import CatalogItem
    from contracts.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    catalog = typer.Typer(help="Products: load them, take one out.", no_args_is_help=True)
    catalog.command()(load)
    catalog.command()(delete)
    app.add_typer(catalog, name="catalog")


Tenant = Annotated[str | None, typer.Option("--tenant", help="Shop (VITRINE_TENANT_ID).")]


def load(
    source: Annotated[
        Path,
        typer.Argument(help="Items as JSON lines (.jsonl, .gz, -), or a folder with products_44446.csv.gz and images_224.tar."),
    ],
    tenant: Tenant = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many items.")] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until all items are encoded, with a progress bar and items per second.")
    ] = True,
) -> None:
    """Publish products; the catalogue worker encodes them and they are live seconds later.

    A load that was broken off goes on where it stopped: what was published of this source is remembered under var/ and
    left out. Delete that file to load everything again.
    """
    from itertools import islice

    from contracts.settings import Settings, resolve

    settings = Settings()
    shop = tenant or settings.tenant_id
    items = list(islice(_items(source, shop, settings), limit))
    journal = resolve(settings.stack.var) / "loaded" / f"{shop}-{source.resolve().name}.json"
    done = set(json.loads(journal.read_text())) if journal.exists() else set()
    left = [item for item in items if item.item_id not in done]
    if done:
        typer.echo(f"{len(items) - len(left)} items were loaded before")
    from consumers.embeddings import EncodingProgress

    with EncodingProgress(settings.kafka) as progress:
        _publish(left, settings, journal, done)
        if wait and left:
            _follow(progress, {(item.tenant_id, item.item_id) for item in left})


def _items(source: Path, tenant: str, settings: Settings) -> Iterable[CatalogItem]:
    from contracts.settings import resolve
    from producers.readers import fashion, jsonl

    if source.is_dir():
        photos = fashion.extract_photos(source, resolve(settings.stack.var) / "photos" / source.resolve().name)
        return fashion.read_items(source, tenant, photos)
    return jsonl.read_items(source)


def _publish(items: list[CatalogItem], settings: Settings, journal: Path, done: set[str]) -> None:
    from rich.progress import track

    from producers.publisher import CatalogPublisher

    journal.parent.mkdir(parents=True, exist_ok=True)
    with CatalogPublisher(settings.kafka, linger_ms=5) as publisher:
        for number, item in enumerate(track(items, "publishing", transient=True), 1):
            publisher.upsert(item)
            done.add(item.item_id)
            if number % 500 == 0:
                publisher.flush()
                journal.write_text(json.dumps(sorted(done)))
    journal.write_text(json.dumps(sorted(done)))
    typer.echo(f"{len(items)} items published")


def _follow(progress: object, wanted: set[tuple[str, str]]) -> None:
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from consumers.embeddings import EncodingProgress

    assert isinstance(progress, EncodingProgress)  # noqa: S101 - narrows for the type checker
    started = time.monotonic()
    total = len(wanted)
    columns = ("encoding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=total)
        for encoded in progress.encoded(wanted):
            bar.update(task, completed=encoded)
    seconds = time.monotonic() - started
    typer.echo(f"{total - len(wanted)} items encoded in {seconds:.1f} s, {(total - len(wanted)) / seconds:.1f} items a second")
    if wanted:
        typer.echo(f"{len(wanted)} items were not encoded: see vitrine dlq list, and vitrine status")
        raise typer.Exit(1)


def delete(item: Annotated[str, typer.Argument(help="Item id.")], tenant: Tenant = None) -> None:
    """Take a product out of the catalogue; it leaves every page within seconds."""
    from contracts.settings import Settings
    from producers.publisher import CatalogPublisher

    settings = Settings()
    with CatalogPublisher(settings.kafka) as publisher:
        publisher.delete(tenant or settings.tenant_id, item).wait()
    typer.echo(f"{item} is deleted")

"""`vitrine catalog`: products into the catalogue topic."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from consumers.embeddings import EncodingProgress
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
    *,
    tenant: Tenant = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many items.")] = None,
    inline: Annotated[
        bool, typer.Option(help="Send photos of a folder inside the records, for a catalogue worker on another machine.")
    ] = False,
    again: Annotated[bool, typer.Option(help="Publish also what is recommendable already, unchanged.")] = False,
    wait: Annotated[
        bool, typer.Option(help="Wait until all items are encoded, with a progress bar and items per second.")
    ] = True,
) -> None:
    """Publish products; the catalogue worker encodes them and they are live seconds later.

    A load that was broken off goes on where it stopped: what is recommendable already, with the same title, price, picture
    and so on, and encoded by the model that is served now, is left out.

    Pictures of a folder are unpacked under var/photos, from where the catalogue worker may read them.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from consumers.embeddings import EncodingProgress
    from contracts.settings import Settings

    settings = Settings()
    with Console(stderr=True).status(f"reading {source}"):
        items = list(islice(_items(source, tenant, settings, inline=inline), limit))
    left = items if again else _missing(items, settings)
    if len(left) < len(items):
        typer.echo(f"{len(items) - len(left)} items are recommendable already")
    if not left:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with EncodingProgress(settings.kafka) as progress, Progress(*columns, transient=True) as bars:
        started = time.monotonic()
        _publish(left, settings, bars)
        if wait:
            _follow(progress, {(item.tenant_id, item.item_id) for item in left}, bars, started)
        else:
            typer.echo(f"{len(left)} items published")


def _items(source: Path, tenant: str | None, settings: Settings, *, inline: bool) -> Iterator[CatalogItem]:
    import msgspec

    from contracts.settings import resolve
    from producers.readers import fashion, jsonl

    if source.is_dir():
        # Under the project's own var/: from there the catalogue worker may read files.
        with fashion.Photos(source, resolve(Path("var")) / "photos" / source.resolve().name) as photos:
            yield from fashion.read_items(source, tenant or settings.tenant_id, photos.path, inline=inline)
        return
    for item in jsonl.read_items(source):
        yield item if tenant is None else msgspec.structs.replace(item, tenant_id=tenant)


def _missing(items: list[CatalogItem], settings: Settings) -> list[CatalogItem]:
    """Items that are not recommendable as they are here."""
    from consumers.embeddings import encoded_items
    from contracts.settings import resolve

    manifest = resolve(settings.model.path) / "manifest.json"
    served = json.loads(manifest.read_text())["version"] if manifest.exists() else None
    encoded = encoded_items(settings.kafka)
    return [
        item
        for item in items
        if (found := encoded.get((item.tenant_id, item.item_id))) is None or found[0] != item or served not in (None, found[1])
    ]


def _publish(items: list[CatalogItem], settings: Settings, bars: Progress) -> None:
    from producers.publisher import CatalogPublisher

    with CatalogPublisher(settings.kafka, linger_ms=5) as publisher:
        for item in bars.track(items, description="publishing"):
            publisher.upsert(item)


def _follow(progress: EncodingProgress, wanted: set[tuple[str, str]], bars: Progress, started: float) -> None:
    total = len(wanted)
    task = bars.add_task("encoding", total=total)
    for encoded in progress.encoded(wanted):
        bars.update(task, completed=encoded)
    seconds, done = time.monotonic() - started, total - len(wanted)
    typer.echo(f"{done} items encoded in {seconds:.1f} s, {done / seconds:.1f} items a second")
    if wanted:
        tenant_id, item_id = min(wanted)
        message = (
            f"{len(wanted)} items were not encoded, such as {item_id} of {tenant_id}: see vitrine dlq list, vitrine status"
        )
        typer.echo(message, err=True)
        raise typer.Exit(1)


def delete(item: Annotated[str, typer.Argument(help="Item id.")], tenant: Tenant = None) -> None:
    """Take a product out of the catalogue; it leaves every page within seconds."""
    from contracts.settings import Settings
    from producers.publisher import CatalogPublisher

    settings = Settings()
    with CatalogPublisher(settings.kafka) as publisher:
        publisher.delete(tenant or settings.tenant_id, item).wait()
    typer.echo(f"{item} is deleted")

"""`vitrine dlq`: dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consumers.dead_letters import DeadLetter
    from contracts.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    letters = typer.Typer(
        help="Dead letters: events that broke the contract, with the reason and their original bytes.", no_args_is_help=True
    )
    letters.command("list")(list_letters)
    letters.command()(show)
    letters.command()(replay)
    letters.command()(purge)
    app.add_typer(letters, name="dlq")


Place = Annotated[str, typer.Argument(help="partition:offset, as `vitrine dlq list` shows it.")]


def _parse(place: str) -> tuple[int, int]:
    partition, separator, offset = place.partition(":")
    if not (separator and partition.isdecimal() and offset.isdecimal()):
        message = f"{place!r} is no place, expected partition:offset such as 3:17"
        raise typer.BadParameter(message)
    return int(partition), int(offset)


def list_letters(json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """List the dead letters with their reason."""
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from consumers.dead_letters import DeadLetterBox
    from contracts.settings import Settings

    table = Table("place", "when (UTC)", "code", "field", "what was wrong", box=None)
    with DeadLetterBox(Settings().kafka) as box:
        for letter in box.letters():
            place, error = letter.place, letter.error
            if json:
                typer.echo(msgspec.json.encode({"place": place, "timestamp": letter.timestamp, **error}).decode())
            else:
                texts = (error.get(name, "") for name in ("code", "path", "message"))
                table.add_row(place, _moment(letter.timestamp), *(Text(text) for text in texts))
    if not json:
        Console().print(table if table.row_count else "No dead letters.")


def _moment(timestamp: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(timestamp / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def show(place: Place) -> None:
    """Show one dead letter: reason, key and the original bytes."""
    from consumers.dead_letters import DeadLetterBox
    from contracts.settings import Settings

    with DeadLetterBox(Settings().kafka) as box:
        letter = _found(box.find(*_parse(place)), place)
    for name, text in letter.error.items():
        typer.echo(f"{name:>10}: {text}")
    typer.echo(f"{'key':>10}: {(letter.key or b'').decode(errors='replace')}")
    typer.echo((letter.value or b"").decode(errors="replace"))


def replay(
    place: Annotated[str | None, typer.Argument(help="partition:offset, as `vitrine dlq list` shows it.")] = None,
    code: Annotated[str | None, typer.Option(help="All dead letters with this reason, instead of one place.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="path=value to change first, e.g. items[0].price=9.99; may be repeated.")
    ] = None,
    value: Annotated[
        Path | None, typer.Option(help="File (- for standard input) that replaces the bytes, for what is no JSON at all.")
    ] = None,
) -> None:
    """Send dead letters again, repaired by --set or --value.

    Each is checked before it is sent, goes to the topic it came from, and keeps its event id; one without gets an id made of
    its place. So a letter that is replayed again within a day (the command was run twice, or killed midway) is recognised and
    changes nothing. The dead letter itself stays where it is until `vitrine dlq purge` or its retention.

    vitrine dlq replay 3:17 --set items[0].price=9.99
    vitrine dlq replay --code invalid_field --set event_name=view_item
    """
    from contracts.errors import ContractError
    from contracts.settings import Settings
    from producers.publisher import Publisher

    if code is not None and any(each.partition("=")[0].strip("$. ") == "event_id" for each in change or []):
        message = "--set event_id=… with --code would give all of them one id, and all but the first would be duplicates"
        raise typer.BadParameter(message)
    settings = Settings()
    letters = _chosen(place, code, settings)
    replacement = _bytes_of(value) if value is not None else None
    failed = 0
    with Publisher(settings.kafka) as publisher:
        for letter in letters:
            try:
                topic, key, repaired = _repaired(letter, replacement, change or [])
            except ContractError as error:
                failed += 1
                typer.echo(f"{letter.place}: {error}", err=True)
                continue
            partition, offset = publisher.send(topic, key, repaired).wait()
            typer.echo(f"{letter.place}: sent to {topic} again, at {partition}:{offset}")
    if failed:
        typer.echo(f"{failed} of {len(letters)} still break the contract and were not sent", err=True)
        raise typer.Exit(1)


def _chosen(place: str | None, code: str | None, settings: Settings) -> list[DeadLetter]:
    from consumers.dead_letters import DeadLetterBox

    if (place is None) == (code is None):
        message = "give either a place such as 3:17 or --code"
        raise typer.BadParameter(message)
    with DeadLetterBox(settings.kafka) as box:
        if place is not None:
            return [_found(box.find(*_parse(place)), place)]
        letters = [letter for letter in box.letters() if letter.error.get("code") == code]
    if not letters:
        message = f"no dead letter with the code {code!r}"
        raise typer.BadParameter(message)
    return letters


def _found(letter: DeadLetter | None, place: str) -> DeadLetter:
    if letter is None:
        message = f"no dead letter at {place}"
        raise typer.BadParameter(message)
    return letter


def _bytes_of(file: Path) -> bytes:
    from producers.readers.source import open_source

    with open_source(file) as source:
        return source.read().strip()


def _repaired(letter: DeadLetter, replacement: bytes | None, changes: list[str]) -> tuple[str, bytes, bytes]:
    """Topic, key and bytes under which the letter goes again; raises ContractError if it is still broken."""
    from contracts.catalog import decode_item
    from contracts.events import decode_event
    from contracts.keys import message_key
    from contracts.topics import CATALOG, EVENTS
    from producers.repair import repaired, with_event_id

    value = repaired(replacement if replacement is not None else letter.value or b"", changes)
    if letter.is_product:
        item = decode_item(value)
        return CATALOG, message_key(item.tenant_id, item.item_id), value
    value = with_event_id(value, letter.replay_id)
    event = decode_event(value)
    return EVENTS, message_key(event.tenant_id, event.visitor_id), value


def purge(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete all dead letters."""
    from consumers.dead_letters import DeadLetterBox
    from contracts.settings import Settings

    if not yes:
        typer.confirm("Delete all dead letters for good?", abort=True)
    with DeadLetterBox(Settings().kafka) as box:
        typer.echo(f"{box.purge()} dead letters deleted")

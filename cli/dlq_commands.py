"""`vitrine dlq`: dead letters."""

from __future__ import annotations

from typing import Annotated

import typer


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

    from consumers.dead_letters import DeadLetterBox
    from contracts.settings import Settings

    table = Table("place", "when (UTC)", "code", "field", "what was wrong", box=None)
    with DeadLetterBox(Settings().kafka) as box:
        for letter in box.letters():
            place, error = f"{letter.partition}:{letter.offset}", letter.error
            if json:
                typer.echo(msgspec.json.encode({"place": place, "timestamp": letter.timestamp, **error}).decode())
            else:
                table.add_row(place, _moment(letter.timestamp), error.get("code"), error.get("path"), error.get("message"))
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
        letter = box.find(*_parse(place))
    if letter is None:
        message = f"no dead letter at {place}"
        raise typer.BadParameter(message)
    for name, text in letter.error.items():
        typer.echo(f"{name:>10}: {text}")
    typer.echo(f"{'key':>10}: {(letter.key or b'').decode(errors='replace')}")
    typer.echo((letter.value or b"").decode(errors="replace"))


def replay(
    place: Place,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="path=value to change first, e.g. items[0].price=9.99; may be repeated.")
    ] = None,
) -> None:
    """Send a dead letter again, repaired by --set; it is checked first and keeps its event id, so it counts once."""
    from consumers.dead_letters import DeadLetterBox
    from contracts.events import decode_event
    from contracts.keys import message_key
    from contracts.settings import Settings
    from contracts.topics import EVENTS
    from producers.publisher import Publisher
    from producers.repair import repaired

    settings = Settings()
    with DeadLetterBox(settings.kafka) as box:
        letter = box.find(*_parse(place))
    if letter is None:
        message = f"no dead letter at {place}"
        raise typer.BadParameter(message)
    value = repaired(letter.value or b"", change or [])
    event = decode_event(value)
    with Publisher(settings.kafka) as publisher:
        partition, offset = publisher.send(EVENTS, message_key(event.tenant_id, event.visitor_id), value).wait()
    typer.echo(f"{event.event_id} is in the events topic again, at {partition}:{offset}")


def purge(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete all dead letters."""
    from consumers.dead_letters import DeadLetterBox
    from contracts.settings import Settings

    if not yes:
        typer.confirm("Delete all dead letters for good?", abort=True)
    with DeadLetterBox(Settings().kafka) as box:
        typer.echo(f"{box.purge()} dead letters deleted")

"""`vitrine up`, `down`, `status`, `run`: the embedded stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.settings import Settings
    from stack.status import Status

_START_SECONDS = 240.0

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="How many event workers share the partitions (VITRINE_STACK__WORKERS)."),
]
Secure = Annotated[
    bool,
    typer.Option("--secure", help="Everybody signs in at the broker, over TLS, with least rights (VITRINE_STACK__SECURE)."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(run)


def up(workers: Workers = None, *, secure: Secure = False) -> None:
    """Start Kafka, Triton, the workers, the gateway and Prometheus in the background.

    Returns when everything is healthy and prints the addresses. A second `vitrine up` says that it is up already.

    Data, logs and run files lie under var/ (VITRINE_STACK__VAR). To use a Kafka cluster of your own instead of the
    embedded broker, name it: VITRINE_KAFKA__BOOTSTRAP_SERVERS=kafka1:9092,kafka2:9092 vitrine up

    With --secure a command names who it is by a settings file that the start wrote, for example
    VITRINE_CONFIG=var/security/operator.toml vitrine dlq list; see docs/security.md.
    """
    from rich.console import Console

    from stack import control

    settings = _settings(workers, secure=secure)
    console = Console()
    now = control.status(settings)
    if now.up:
        console.print("The stack is up already.")
        show(console, now)
        return
    start(settings, console)


def down() -> None:
    """Stop everything that `vitrine up` started, workers first, the broker last; data under var/ stays."""
    from rich.console import Console

    from stack import control

    console = Console()
    with console.status("stopping"):
        was_up = control.stop(_settings(None))
    console.print("The stack is down." if was_up else "The stack was not up.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: up, processes, addresses, notes.")] = False,
) -> None:
    """List the processes (name, pid, healthy, restarts) and the addresses.

    Ends with 0 when everything is healthy, 3 when something is not or the stack is down, so that scripts can wait:
    until vitrine status >/dev/null; do sleep 1; done
    """
    from stack import control

    now = control.status(_settings(None))
    if as_json:
        typer.echo(json.dumps(now.public(), indent=2))
    else:
        from rich.console import Console

        console = Console()
        if now.up:
            show(console, now)
        else:
            console.print("The stack is down; `vitrine up` starts it.")
    raise typer.Exit(0 if now.is_healthy else 3)


def run(
    workers: Workers = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Events per second of all simulated shoppers together.")] = 20.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after this time; else Ctrl-C ends it.")] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated shoppers.")] = 7,
    *,
    secure: Secure = False,
) -> None:
    """Start everything, let simulated shoppers in, and watch one shopper's page change after each click.

    The view shows the shopper's newest click, the page that followed, and the milliseconds from event to page by
    stage. Ctrl-C stops everything and leaves nothing behind.
    """
    from cli.live import LiveDemo

    LiveDemo(_settings(workers, secure=secure), rate=rate, seconds=seconds, seed=seed).run()


def start(settings: Settings, console: Console) -> Status:
    """Start the stack with a spinner and print what runs."""
    from stack import control

    with console.status("starting Kafka") as spinner:

        def progress(now: Status) -> None:
            waiting = ", ".join(process.name for process in now.processes if not process.healthy)
            spinner.update(f"waiting for {waiting}" if waiting else "ready")

        now = control.start(settings, patience_seconds=_START_SECONDS, progress=progress)
    show(console, now)
    return now


def show(console: Console, now: Status) -> None:
    """Print processes, addresses and notes."""
    from rich.table import Table

    table = Table("process", "pid", "healthy", "restarts", "address", box=None, pad_edge=False)
    for process in now.processes:
        name = {"kafka": "broker"}.get(process.name, process.name)
        pid = str(process.pid) if process.pid is not None else "-"
        healthy = "[green]yes[/]" if process.healthy else "[red]no[/]"
        table.add_row(process.name, pid, healthy, str(process.restarts), now.addresses.get(name, ""))
    console.print(table)
    for note in now.notes:
        console.print(f"[yellow]{note}[/]")


def _settings(workers: int | None, *, secure: bool = False) -> Settings:
    from contracts.settings import Settings
    from stack.environment import overridden

    settings = Settings()
    if workers is not None:
        settings = overridden(settings, {"stack": {"workers": workers}})
    return overridden(settings, {"stack": {"secure": True}}) if secure else settings

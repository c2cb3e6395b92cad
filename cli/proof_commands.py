"""`vitrine nemesis-poison`, `nemesis-burst`, `erase-proof`, `fuzz`: promises of docs/guarantees.md, measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path | None, typer.Option(help="File for the figures, as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(nemesis_poison)
    app.command()(nemesis_burst)
    app.command()(erase_proof)
    app.command()(fuzz)


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _finish(summary: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(summary, indent=1)
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n")
    if not summary["holds"]:
        raise typer.Exit(1)


def nemesis_poison(
    *,
    count: Annotated[int, typer.Option(min=10_000, help="Mutated payloads.")] = 100_000,
    rate: Annotated[float, typer.Option(min=1, max=150, help="Healthy events a second, all the time.")] = 40.0,
    flood_rate: Annotated[float, typer.Option(min=1, help="Mutated payloads a second in the flood at the end.")] = 1500.0,
    out: Out = None,
) -> None:
    """Send mutated payloads between healthy traffic through a stack of its own, and account for every one of them.

    Starts Kafka, Triton and two workers on free ports and stops them. Two minutes of windows without poison and with as many
    poisoned as healthy values take turns, so the two latencies come from one run; the rest is a flood. Exit status 1 when a
    worker died, an event waited for more than five seconds, or in = processed + coalesced + duplicate + dead-lettered does not
    hold exactly.
    """
    from nemesis.lab import Lab
    from nemesis.poison import poisoning

    with Lab() as lab:
        _finish(poisoning(lab, count, rate, flood_rate, _tell).summary(), out)


def nemesis_burst(
    *,
    rate: Annotated[float, typer.Option(min=1, help="Events a second before the burst.")] = 40.0,
    factor: Annotated[float, typer.Option(min=1, help="How many times more during the burst.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long the burst is.")] = 60.0,
    out: Out = None,
) -> None:
    """Send a burst through a stack of its own: how stale pages get, when the backlog is gone, whether everything adds up.

    Exit status 1 when the p99 from event to page is a second or more, draining takes a minute or more, or an event is not
    accounted for.
    """
    from nemesis.lab import Lab
    from nemesis.overload import overload

    with Lab() as lab:
        _finish(overload(lab, rate, factor, seconds, _tell).summary(), out)


def erase_proof(*, out: Out = None) -> None:
    """Let a visitor with a random marker come to a stack of its own, forget them, and search every disk for the marker.

    Log segments, state folders, process logs and /dev/shm are searched, before (the marker has to be found) and after, until
    nothing is found. Exit status 1 when it takes more than a minute until nobody is told of the visitor, or more than ten until
    no byte is left; topics have lab settings (segments of two seconds), production's are in contracts/topics.py.
    """
    from nemesis.erasure import erasure
    from nemesis.lab import Lab

    with Lab(gateway=True) as lab:
        _finish(erasure(lab, _tell).summary(), out)


def fuzz(
    *,
    count: Annotated[int, typer.Option(min=1000, help="Inputs to try.")] = 100_000,
    seed: Annotated[int, typer.Option(min=1, help="Of the mutations.")] = 1,
    found: Annotated[Path, typer.Option(help="Folder for inputs that crash.")] = Path("var/fuzz"),
    out: Out = None,
) -> None:
    """Look for bytes that crash or stall the worker's decoder and fold, guided by coverage (needs the package atheris).

    Starts from good events, mutants of them and the payloads of other shop systems under tests/golden. Exit status 1 when an
    input raises anything but an error of the contract, takes five seconds, or needs 2 GB.
    """
    from nemesis.fuzz import fuzz as run

    _finish(run(count, seed, found).summary(), out)

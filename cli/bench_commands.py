"""`vitrine bench`: the measurements of benchmarks/."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    quick: Annotated[
        bool, typer.Option(help="Under three minutes, to see that it works; its figures are not for quoting.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measurement.")] = 5.0,
    name: Annotated[str | None, typer.Option(help="Name of the result files; by default <date>-latency.")] = None,
) -> None:
    """Measure event-to-page latency beside plain Kafka and hand-written loops: JSON and picture in benchmarks/results.

    Starts a broker, a Triton and the systems of its own on free ports, and stops them. Stop other work first: figures of a
    busy machine say little, and the load average is recorded with them.
    """
    from benchmarks.__main__ import main

    main(quick=quick, rounds=rounds, seconds=seconds, name=name)

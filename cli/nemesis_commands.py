"""`vitrine nemesis`: faults on a stack of its own under seeded traffic, and the checker's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(nemesis)
    app.command()(nemesis_recovery)
    app.command()(nemesis_million)


def nemesis(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long faults are inflicted.")] = 120.0,
    seed: Annotated[int, typer.Option(help="Of traffic, order of faults and gaps.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Runs, with the seeds that follow.")] = 1,
    nodes: Annotated[int, typer.Option(help="Brokers: 1 under the supervisor, or 3 with replication factor 3.")] = 1,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 60.0,
    only: Annotated[list[str] | None, typer.Option(help="Faults whose name holds this; may be given again.")] = None,
    out: Annotated[Path | None, typer.Option(help="Summary file; runs that it holds already are not repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Kill, pause, cut and flood a stack of its own, then compare every page with an offline oracle.

    Starts Kafka, Triton and two workers on free ports and stops them. Exit status 1 when a law did not hold or a fault did
    not really happen; the laws are in docs/guarantees.md.
    """
    from nemesis.series import Series

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    series = Series(seconds, seed, runs, nodes=nodes, rate=rate, only=tuple(only or ()), file=out)
    summary = series.run(tell)
    typer.echo(json.dumps(summary, indent=1) if as_json else Series.in_words(summary))
    if not summary["laws_hold"] or not summary["valid"]:
        raise typer.Exit(1)


def nemesis_recovery(
    *,
    sessions: Annotated[int, typer.Option(min=1, help="Visitors with a session.")] = 100_000,
    out: Annotated[Path | None, typer.Option(help="File for the figures.")] = None,
) -> None:
    """Kill every worker while they hold many sessions, and time how the sessions come back, compared with an oracle.

    Exit status 1 when a session differs.
    """
    from nemesis.lab import Lab
    from nemesis.recovery import restore

    with Lab() as lab:
        restored = restore(lab, sessions, lambda line: typer.echo(line, err=True))
    text = json.dumps(restored.summary(), indent=1)
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n")
    if restored.different or restored.wrong_pages:
        raise typer.Exit(1)


def nemesis_million(
    *,
    events: Annotated[int, typer.Option(min=1, help="Events in all.")] = 1_000_000,
    kills: Annotated[int, typer.Option(min=0, help="kill -9 in all: workers, Triton, its stub, the broker, in turn.")] = 50,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 400.0,
    round_events: Annotated[int, typer.Option("--round", min=100, help="Events between two checks of all laws.")] = 50_000,
    visitors: Annotated[int, typer.Option(min=1, help="Visitors who take part.")] = 2_000,
    sample: Annotated[int, typer.Option(min=0, help="Visitors whose pages are also compared in content.")] = 10,
    seed: Annotated[int, typer.Option(help="Of traffic and kills.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Summary file; rounds that it holds already are not repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """A million events under at least fifty kill -9, every one accounted for: nothing lost, shown twice or backwards.

    Runs in rounds; after each round all laws are checked and the summary is written, with an estimate of the time left.
    Interrupted, the same command goes on with the next round. Exit status 1 when a law did not hold or a kill did not happen.
    """
    from nemesis import million

    plan = million.Million(events, kills, rate, min(round_events, events), visitors, sample, seed)
    summary = million.run(plan, out, lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps(summary, indent=1) if as_json else million.in_words(summary))
    for words in summary["violations"][:20]:
        typer.echo(words)
    if not (summary["laws_hold"] and summary["valid"] and summary["done"]):
        raise typer.Exit(1)

"""`vitrine soak`: hours of steady traffic on a stack of its own, and whether memory, files or shared memory grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(soak)


def soak(
    *,
    hours: Annotated[float, typer.Option(min=0.01, help="How long traffic runs; 2 takes two hours.")] = 2.0,
    rate: Annotated[float, typer.Option(min=1, help="Events a second: 70 % of the highest of `vitrine bench`.")] = 560.0,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds at the start that no verdict counts.")] = 900.0,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two samples.")] = 5.0,
    visitors: Annotated[int, typer.Option(min=1, help="Visitors of one crowd; another comes every two minutes.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of the traffic.")] = 1,
    out: Annotated[Path, typer.Option(help="Record, one sample a line; .json and .png are written beside it.")] = Path(
        "benchmarks/results/soak.jsonl"
    ),
    summarise: Annotated[bool, typer.Option("--summarise", help="Only make the summary of a record that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run a stack of its own under steady traffic and tell whether anything grows that must not.

    Every few seconds: memory, open files and threads of each process, shared memory, restarts, lag, and the time from event to
    page. After the warm-up a line is fitted to each process's memory; it holds when the whole 95 % interval of its slope is
    below 1 MB an hour, so a short run stays undecided. Exit status 1 when something fails.
    """
    import tempfile

    from nemesis import soak as long_run

    if summarise:
        summary = long_run.write_summary(out)
    else:
        plan = long_run.Soak(hours, rate, warm_up, every, visitors, seed)
        with tempfile.TemporaryDirectory(prefix="vitrine-soak-") as folder:
            summary = long_run.run(plan, out, Path(folder), lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps(summary, indent=1) if as_json else long_run.in_words(summary))
    if "fails" in summary["verdicts"].values():
        raise typer.Exit(1)

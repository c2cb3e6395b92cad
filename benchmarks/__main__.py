"""`python -m benchmarks`: event to page against hand-written loops; JSON and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import latency, machine, picture

RESULTS = Path(__file__).parent / "results"


def main(
    quick: Annotated[bool, typer.Option(help="One short round, to see that it works.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measurement.")] = 6.0,
    name: Annotated[str | None, typer.Option(help="Name of the result files; by default <date>-latency.")] = None,
) -> None:
    """Measure on a quiet machine: stop other work first; the load average is recorded."""
    console = Console()
    before = machine.describe()
    found = latency.measure(1 if quick else rounds, 2.0 if quick else seconds, console.print)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name or before['date'][:10] + '-latency'}.json"
    target.write_text(json.dumps({"machine": before, **found}, indent=1) + "\n")
    picture.draw(found, before, target.with_suffix(".png"))
    console.print_json(json.dumps({"ratios": found["ratios"], "highest_rate": found["highest_rate"]}))
    console.print(f"written: {target} and {target.with_suffix('.png')}")


if __name__ == "__main__":
    typer.run(main)

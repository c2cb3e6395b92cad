"""`python -m benchmarks`: event to page against hand-written loops; JSON and a picture."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import eligibility, latency, machine, picture, report, session_step
from benchmarks.systems import running
from contracts.settings import Settings, resolve
from stack.triton import ensure_exported

RESULTS = Path(__file__).parent / "results"
QUICK = latency.Effort(rounds=1, seconds=1.5, limit_rounds=1, limit_seconds=1.5)


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Under three minutes, to see that it works.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measurement.")] = 5.0,
    name: Annotated[str | None, typer.Option(help="Name of the result files; by default <date>-latency.")] = None,
) -> None:
    """Measure on a quiet machine: stop other work first; the load average is recorded."""
    console = Console()
    sys.setswitchinterval(0.0005)  # the reader of answers must not wait for the sender, nor the sender for it
    before, started = machine.describe(), time.monotonic()
    effort = QUICK if quick else latency.Effort(rounds=rounds, seconds=seconds)
    found = _measure(effort, 10 if quick else 40, console)
    after = {"load_average_after": machine.describe()["load_average"], "seconds": round(time.monotonic() - started, 1)}
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name or before['date'][:10] + '-latency'}.json"
    target.write_text(json.dumps({"machine": {**before, **after}, **found}, indent=1) + "\n")
    picture.draw(found, before, target.with_suffix(".png"))
    report.show(found, console)
    console.print(f"written: {target} and {target.with_suffix('.png')}")


def _measure(effort: latency.Effort, items: int, console: Console) -> dict[str, Any]:
    settings = Settings()
    exported = ensure_exported(settings)
    steps = session_step.measure(resolve(settings.model.path), exported)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder, running(Path(folder)) as bench:
        run = latency.Latency(bench, effort, console.print)
        try:
            run.warm()
            found = run.measure()
            eligible = eligibility.measure(bench.product, run.drivers["product"], Path(folder), items, console.print)
        finally:
            run.close()
    return {**found, "session_step": steps, "eligibility": eligible}


if __name__ == "__main__":
    typer.run(main)

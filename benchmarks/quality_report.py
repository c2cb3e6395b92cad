"""Progress and figures of next-item models in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from training.sessions.encoder_training import Tick

_STAGES = {
    "fit": "encoder, before the validation slice",
    "refit": "encoder, all sessions",
    "blend": "blend on the validation slice",
    "baselines": "baselines",
    "peers": "peers: SASRec, ALS, item-KNN of implicit",
    "test": "ranking of the test part",
}


@contextmanager
def bars(console: Console) -> Iterator[Tick]:
    """A progress bar for each stage that begins, with its newest figures."""
    columns = (TextColumn("{task.description:<36}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, Any] = {}

        def tick(stage: str, share: float, words: str) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(_STAGES.get(stage, stage), total=1.0, words=words)
            progress.update(tasks[stage], completed=share, words=words)

        yield tick


def table(figures: dict[str, Any]) -> Table:
    """All models of a set, with the spread where there are several seeds, and whether the goals are met."""
    metrics = list(figures["models"]["blend"])
    seeds = figures.get("seeds", [])
    words = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {figures['seed']}"
    title = f"{figures['data']}: {figures['test_queries']:,} queries over {figures['items']:,} items, {words}"
    result = Table("model", *metrics, title=title, box=None, title_justify="left")
    for model, values in figures["models"].items():
        spread = figures["spread"][model] if len(seeds) > 1 else {}
        cells = [f"{values[metric]:.4f}" + (f" ± {spread[metric]:.4f}" if spread.get(metric) else "") for metric in metrics]
        result.add_row(model, *cells)
    goals = figures.get("goals")
    if goals:
        reached = {metric: f"> {goal['goal']:.4f} {'met' if goal['met'] else 'missed'}" for metric, goal in goals.items()}
        result.add_row("goal", *(reached.get(metric, "") for metric in metrics), style="bold")
    return result

"""`python -m benchmarks.fusion`: what fusing text, picture and behaviour is worth; JSON and a picture.

Three parts: `histories` (quality beside the neighbours and the goals, and by how often an item was seen), `cold` (items that
training never saw, by which modalities are there) and `fashion` (labels and search from title, photo and both). A part's
figures replace its older ones in the result file. Trainings lie in the folder of `--folder` and go on where a kill ended them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import fusion_picture, machine
from benchmarks.quality import data_folder
from contracts.errors import VitrineError
from contracts.settings import resolve
from training.demo_pictures import PictureRecipe
from training.fusion import fashion, histories
from training.fusion.codes import read
from training.fusion.heads import HeadRecipe
from training.fusion.recipe import FusedRecipe
from training.fusion.towers import TowerRecipe
from training.sessions.encoder_training import Tick

RESULTS = Path(__file__).parent / "results"
INSTRUMENTS, FASHION = "amazon_instruments_mm", "fashion_products"
GOALS = {"recall@10": 0.155, "ndcg@10": 0.118}
"""Least figures of the fused blend on the histories: MQL4GRec (2025), pretrained on six other domains, has .1375 and .1060."""
OURS = "blend, ids+text+image"
Figures = dict[str, Any]


def _histories(data: Path, folder: Path, epochs: int | None, seed: int, tick: Tick) -> Figures:
    recipe = replace(FusedRecipe(seed=seed), epochs=epochs or FusedRecipe.epochs)
    figures = histories.quality(read(data), folder / "histories", recipe, tick)
    reached = figures["models"][OURS]
    goals = {name: {"goal": goal, "reached": reached[name], "met": bool(reached[name] > goal)} for name, goal in GOALS.items()}
    return figures | {"goals": goals, "recipe": asdict(recipe)}


def _cold(data: Path, folder: Path, epochs: int | None, seed: int, tick: Tick) -> Figures:
    recipe = replace(FusedRecipe(seed=seed), epochs=epochs or FusedRecipe.epochs)
    return histories.cold(read(data), folder / "histories", recipe, tick=tick) | {"recipe": asdict(recipe)}


def _fashion(data: Path, folder: Path, epochs: int | None, seed: int, tick: Tick) -> Figures:
    tower = TowerRecipe(seed=seed) if epochs is None else TowerRecipe(pictures=PictureRecipe(epochs=epochs), seed=seed)
    return fashion.run(data, folder / "fashion", tower, HeadRecipe(), tick) | {"recipe": asdict(tower)}


PARTS: dict[str, tuple[str, Callable[[Path, Path, int | None, int, Tick], Figures]]] = {
    "histories": (INSTRUMENTS, _histories),
    "cold": (INSTRUMENTS, _cold),
    "fashion": (FASHION, _fashion),
}


def merged(target: Path, name: str, figures: Figures) -> Figures:
    """The result file with one part's figures replaced; parts in the order of `PARTS`."""
    parts = json.loads(target.read_text(encoding="utf-8"))["parts"] if target.exists() else {}
    parts[name] = figures
    return {"parts": {known: parts[known] for known in PARTS if known in parts}}


def _bars(progress: Progress) -> Tick:
    tasks: dict[str, Any] = {}

    def tick(stage: str, share: float, words: str) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=1.0, words=words)
        progress.update(tasks[stage], completed=share, words=words)

    return tick


def table(name: str, figures: Figures) -> Table:
    """A part's figures for the terminal."""
    if name == "fashion":
        made = Table("task", "measure", "text", "image", "text+image", box=None)
        for task, measure in figures["judged by"].items():
            row = figures["tasks"][task]
            made.add_row(task, measure, *(f"{row[kind][measure]:.4f}" for kind in ("text", "image", "text+image")))
        return made
    if name == "cold":
        heads = ("recall@10, hidden items", "ndcg@10, hidden items", "recall@10, all items")
        made = Table("modalities", "by", *heads, box=None)
        for modalities, row in figures["rows"].items():
            for kind, found in (("encoder", row), ("neighbours", row.get("content neighbours"))):
                if found is not None:
                    values = (found["easy"]["recall@10"], found["easy"]["ndcg@10"], found["hard"]["recall@10"])
                    made.add_row(modalities, kind, *(f"{value:.4f}" for value in values))
        return made
    made = Table("model", *GOALS, box=None)
    for model, row in figures["models"].items():
        made.add_row(model, *(f"{row[metric]:.4f}" for metric in GOALS))
    goals = figures["goals"].values()
    made.add_row("goal", *(f"> {goal['goal']:.4f} {'met' if goal['met'] else 'missed'}" for goal in goals), style="bold")
    return made


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}; may be repeated. All by default.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of the towers and encoders, at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and draws.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 1,
    folder: Annotated[Path, typer.Option(help="Folder of caches and trainings.")] = Path("var/fusion"),
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "fusion.json",
) -> None:
    """Train and measure each part whose data is there; a missing one is skipped with a sentence."""
    console = Console()
    if unknown := set(only or ()) - PARTS.keys():
        message = f"{', '.join(sorted(unknown))}, expected some of {', '.join(PARTS)}"
        raise typer.BadParameter(message, param_hint="--only")
    torch.set_num_threads(threads)
    for name in only or PARTS:
        place, measure = PARTS[name]
        data = data_folder() / place
        if not data.exists():
            console.print(
                f"{name} skipped: {data} is not there (SHARED_DATA names the folder of the data sets)", soft_wrap=True
            )
            continue
        about, began = machine.describe() | {"threads": threads, "seed": seed}, time.perf_counter()
        columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=console) as progress:
            figures = measure(data, resolve(folder), epochs, seed, _bars(progress))
        about["minutes of this run"] = round((time.perf_counter() - began) / 60, 2)
        result = merged(out, name, {"machine": about, "data": place, **figures})
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fusion_picture.draw(result, out.with_suffix(".png"))
        console.print(table(name, figures))
        console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.fusion: {error}", err=True)
        sys.exit(2)

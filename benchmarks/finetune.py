"""`python -m benchmarks.finetune`: full fine-tuning, LoRA and frozen towers side by side; JSON and a picture.

One task, one sample of items, one seed; each row is a training of its own whose figures replace its older ones in the result
file. Trainings go on where a kill ended them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl

mpl.use("Agg")
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.quality import data_folder
from contracts.errors import VitrineError
from contracts.settings import ROOT, resolve
from training.finetune.data import read
from training.finetune.recipe import Recipe
from training.finetune.run import Bases, run

RESULTS = Path(__file__).parent / "results"
EPOCHS: dict[str, Any] = {"fewest": 10, "most": 10}
ROWS: dict[str, dict[str, Any]] = {
    "text, frozen": {"towers": "text", "mode": "frozen"},
    "text, LoRA": {"towers": "text", "mode": "lora"},
    "text, full, 1e-5": {"towers": "text", "mode": "full", "rate": 1e-5},
    "text, full, 5e-5": {"towers": "text", "mode": "full", "rate": 5e-5},
    "picture, frozen": {"towers": "image", "mode": "frozen"},
    "picture, LoRA": {"towers": "image", "mode": "lora"},
    "picture, full, 1e-3": {"towers": "image", "mode": "full", "rate": 1e-3},
    "both, frozen": {"towers": "both", "mode": "frozen"},
    "both, LoRA": {"towers": "both", "mode": "lora"},
    "both, full, 5e-5": {"towers": "both", "mode": "full", "rate": 5e-5},
}
_COLOURS = {"frozen": "#9aa5b1", "lora": "#c8443f", "full": "#3f7cac"}


def row_of(figures: dict[str, Any]) -> dict[str, Any]:
    """What the table tells of a training."""
    names = ("accuracy", "macro_f1", "weighted_f1")
    kept = ("trainable", "parameters", "minutes", "processor_minutes", "epochs", "best_epoch", "recipe")
    sides = {side: {name: figures[side][name] for name in names} for side in ("before", "after")}
    return sides | {name: figures[name] for name in kept}


def draw(result: dict[str, Any], target: Path) -> None:
    """Macro-F1 before and after beside trained parameters and minutes, a line for each training."""
    rows = {label: result["rows"][label] for label in ROWS if label in result["rows"]}
    labels, places = list(rows), range(len(rows))
    colours = [_COLOURS[row["recipe"]["mode"]] for row in rows.values()]
    figure, (quality, size, time) = plt.subplots(
        1, 3, figsize=(12, 0.42 * len(rows) + 1.3), layout="constrained", sharey=True, width_ratios=[1.6, 1, 1]
    )
    before, after = ([row[side]["macro_f1"] for row in rows.values()] for side in ("before", "after"))
    for place, start, end, colour in zip(places, before, after, colours, strict=True):
        quality.plot([start, end], [place, place], color=colour, linewidth=2, zorder=1)
        quality.annotate(f"{end:.3f}", (max(start, end), place), (6, 0), textcoords="offset points", va="center", fontsize=8)
    quality.scatter(before, places, color="white", edgecolor=colours, zorder=2)
    quality.scatter(after, places, color=colours, zorder=2)
    quality.set_title("macro-F1, nearest class mean (○) to trained (●)", fontsize=10)
    quality.set_xlim(min(before) - 0.04, max(*before, *after) + 0.07)
    quality.set_yticks(places, labels)
    quality.invert_yaxis()
    for axis, values, words in (
        (size, [row["trainable"] for row in rows.values()], "trained parameters"),
        (time, [row["processor_minutes"] for row in rows.values()], "processor minutes"),
    ):
        bars = axis.barh(places, values, color=colours, height=0.6)
        axis.bar_label(bars, [f"{value:,}" if words[0] == "t" else f"{value:.2f}" for value in values], fontsize=8, padding=3)
        axis.set_title(words, fontsize=10)
        axis.set_xscale("log")
        axis.set_xlim(right=max(values) * 12)
    for axis in (quality, size, time):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    items = result["items"]
    figure.suptitle(
        f"{result['task']}, {result['classes']} classes: {items['train']:,} items to learn from, {items['test']:,} to measure",
        fontsize=10,
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)


def table(result: dict[str, Any]) -> Table:
    """The same in the terminal."""
    shown = Table("training", "accuracy", "macro-F1", "trained", "minutes", "epochs", box=None)
    for label, row in result["rows"].items():
        pairs = [f"{row['before'][name]:.3f} -> {row['after'][name]:.3f}" for name in ("accuracy", "macro_f1")]
        shown.add_row(label, *pairs, f"{row['trainable']:,}", f"{row['processor_minutes']:.2f}", str(row["epochs"]))
    return shown


def main(
    only: Annotated[list[str] | None, typer.Option(help="A row's label, may be repeated; all by default.")] = None,
    task: Annotated[str, typer.Option(help="As in `vitrine finetune`.")] = "base_colour",
    limit: Annotated[int, typer.Option(min=10, help="Items to learn from.")] = 400,
    seed: Annotated[int, typer.Option(help="Of sample, order and adapters.")] = 0,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "finetune.json",
) -> None:
    """Train each row with one thread, some eight processor minutes in all."""
    console, folder = Console(), data_folder() / "fashion_products"
    if not folder.exists():
        console.print(f"skipped: {folder} is not there (SHARED_DATA names the folder of the data sets)", soft_wrap=True)
        return
    if unknown := set(only or ()) - ROWS.keys():
        message = f"{', '.join(sorted(unknown))}, expected some of {', '.join(ROWS)}"
        raise typer.BadParameter(message, param_hint="--only")
    torch.set_num_threads(1)
    bases = Bases("minilm", str(ROOT / "triton_models" / "artefacts" / "demo"))
    items = read(folder, task, bases.side, limit, seed=seed)
    for label in only or ROWS:
        recipe = Recipe(**ROWS[label], **EPOCHS, seed=seed)
        place = resolve(Path("var/finetune/bench")) / f"{task}-{limit}-{seed}" / label.replace(", ", "-")
        console.print(f"training: {label}")
        _, figures = run(items, bases, recipe, place)
        rows = json.loads(out.read_text())["rows"] if out.exists() else {}
        rows[label] = row_of(figures)
        about = machine.describe() | {"threads": 1, "seed": seed}
        head = {name: figures[name] for name in ("task", "items", "classes", "left_out")}
        result = {"machine": about, **head, "rows": {known: rows[known] for known in ROWS if known in rows}}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draw(result, out.with_suffix(".png"))
    console.print(table(result))
    console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.finetune: {error}", err=True)
        sys.exit(2)

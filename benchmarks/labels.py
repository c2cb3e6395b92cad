"""`python -m benchmarks.labels`: what pseudo-labels gain, and which items are best labelled next; JSON and a picture.

Labels are hidden and uncovered again, so both are measured against the truth. Each seed draws other first labels; the spread
over the seeds is in the file and in the picture.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from sklearn.metrics import f1_score

from benchmarks import machine
from benchmarks.quality import data_folder
from contracts.errors import VitrineError
from contracts.settings import ROOT, resolve
from training.finetune.acquisition import Strategy, choose
from training.finetune.data import Ints, Items, read
from training.finetune.labels import Floats, classifier, features_of, self_trained
from training.finetune.recipe import Towers
from training.finetune.run import Bases

RESULTS = Path(__file__).parent / "results"
PER_CLASS = (5, 10, 20)
THRESHOLDS = (0.6, 0.8)
STRATEGIES: tuple[Strategy, ...] = ("random", "entropy", "margin", "margin, diverse")
_COLOURS = {"random": "#9aa5b1", "entropy": "#d9a441", "margin": "#3f7cac", "margin, diverse": "#c8443f"}


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        towers: what items are judged by.
        limit: items whose labels may be uncovered.
        seeds: draws of the first labels.
        batch: labels asked for at once.
        rounds: batches.
    """

    towers: Towers = "text"
    limit: int = 1500
    seeds: int = 5
    batch: int = 40
    rounds: int = 9


def quality(judge: Any, features: Floats, items: Items) -> dict[str, float]:
    """Accuracy and macro-F1 of a classifier on the test part."""
    test = items.part("test")
    truth, guessed = items.labels[test], judge.predict(features[test])
    present = np.unique(truth)
    macro = f1_score(truth, guessed, labels=present, average="macro", zero_division=0)
    return {"accuracy": float((truth == guessed).mean()), "macro_f1": float(macro)}


def pseudo(features: Floats, items: Items, per_class: int, seed: int) -> dict[str, Any]:
    """Figures of a few labels alone and of self-training at each threshold, from the same labels."""
    rng, train = np.random.default_rng(seed), items.part("train")
    drawn = rng.permutation(train)
    given = np.concatenate([drawn[items.labels[drawn] == row][:per_class] for row in range(len(items.classes))])
    labels = np.full(len(items), -1, dtype=np.int64)
    labels[given] = items.labels[given]
    alone = quality(classifier().fit(features[given], labels[given]), features, items)
    result: dict[str, Any] = {"labels": len(given), "alone": alone}
    for threshold in THRESHOLDS:
        judge, found = self_trained(features[train], labels[train], threshold)
        inferred = (found >= 0) & (labels[train] < 0)
        right = float((found[inferred] == items.labels[train][inferred]).mean()) if inferred.any() else float("nan")
        figures = quality(judge, features, items)
        result[f"self-training, {threshold}"] = figures | {"inferred": int(inferred.sum()), "inferred_right": right}
    return result


def curve(features: Floats, items: Items, strategy: Strategy, seed: int, plan: Plan) -> list[dict[str, float]]:
    """Figures after each batch of labels that a strategy asks for; the first batch is drawn at random, alike for all."""
    rng, train = np.random.default_rng(seed), items.part("train")
    given: Ints = rng.permutation(train)[: plan.batch]
    points = []
    for step in range(plan.rounds):
        judge = classifier().fit(features[given], items.labels[given])
        points.append({"labels": len(given)} | quality(judge, features, items))
        if step + 1 < plan.rounds:
            left = np.setdiff1d(train, given)
            chances = judge.predict_proba(features[left])
            given = np.concatenate((given, choose(features, chances, left, plan.batch, strategy, rng)))
    return points


def summarised(runs: list[list[dict[str, float]]], metric: str) -> dict[str, list[float]]:
    """Mean and standard deviation over the seeds, point by point."""
    values = np.array([[point[metric] for point in points] for points in runs])
    return {"mean": values.mean(axis=0).tolist(), "deviation": values.std(axis=0, ddof=1).tolist()}


def draw(result: dict[str, Any], target: Path) -> None:
    """Bars: what pseudo-labels gain. Curves: quality over the number of labels by strategy, with the seeds' spread."""
    tasks = list(result["tasks"])
    figure, axes = plt.subplots(len(tasks), 2, figsize=(11, 3.7 * len(tasks)), layout="constrained", squeeze=False)
    for (bars, lines), task in zip(axes, tasks, strict=True):
        found = result["tasks"][task]
        kinds = ["alone", *(f"self-training, {threshold}" for threshold in THRESHOLDS)]
        for place, (kind, colour) in enumerate(zip(kinds, ("#9aa5b1", "#c8443f", "#3f7cac"), strict=True)):
            values = [[run[kind]["macro_f1"] for run in found["pseudo"][str(size)]] for size in PER_CLASS]
            spots = [row + (place - 1) * 0.27 for row in range(len(PER_CLASS))]
            words = "labels alone" if kind == "alone" else f"{kind.replace(', ', ' from ')} on"
            drawn = bars.bar(
                spots, [float(np.mean(row)) for row in values], 0.25, yerr=[float(np.std(row, ddof=1)) for row in values],
                color=colour, label=words, error_kw={"elinewidth": 1, "capsize": 2},
            )  # fmt: skip
            bars.bar_label(drawn, fmt="%.2f", fontsize=8, padding=2)
        bars.set_xticks(range(len(PER_CLASS)), [f"{size} a class" for size in PER_CLASS])
        bars.set_title(f"{task}, {found['classes']} classes: pseudo-labels", fontsize=10)
        bars.set_ylim(top=bars.get_ylim()[1] * 1.25)
        bars.legend(loc="upper left", fontsize=8, frameon=False)
        for strategy in STRATEGIES:
            mean, spread = (np.array(found["active"][strategy]["macro_f1"][name]) for name in ("mean", "deviation"))
            lines.plot(found["labels"], mean, marker="o", markersize=3, color=_COLOURS[strategy], label=strategy)
            lines.fill_between(found["labels"], mean - spread, mean + spread, color=_COLOURS[strategy], alpha=0.12, linewidth=0)
        lines.set_title(f"{task}: which items to label next", fontsize=10)
        lines.set_xlabel("labels")
        lines.legend(loc="lower right", fontsize=8, frameon=False)
        for axis in (bars, lines):
            axis.set_ylabel("macro-F1, test part")
            axis.spines[["top", "right"]].set_visible(False)
    plan, about = result["plan"], result["machine"]
    words = f"items judged by {plan['towers']}; mean and standard deviation over {plan['seeds']} draws of the first labels"
    figure.suptitle(f"{words}; {about['date'][:10]}, commit {about['commit']}", fontsize=9)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def measured(task: str, bases: Bases, plan: Plan) -> dict[str, Any]:
    """Both instruments on one task."""
    items = read(data_folder() / "fashion_products", task, bases.side if plan.towers != "text" else None, plan.limit)
    features = features_of(items, plan.towers, bases, resolve(Path("var/finetune/features")))
    few = {str(size): [pseudo(features, items, size, seed) for seed in range(plan.seeds)] for size in PER_CLASS}
    runs: dict[Strategy, list[list[dict[str, float]]]] = {
        strategy: [curve(features, items, strategy, seed, plan) for seed in range(plan.seeds)]
        for strategy in track(STRATEGIES, f"{task}: strategies")
    }
    return {
        "items": {part: len(items.part(part)) for part in ("train", "test")},
        "classes": len(items.classes),
        "pseudo": few,
        "labels": [point["labels"] for point in runs["random"][0]],
        "active": {
            strategy: {metric: summarised(found, metric) for metric in ("accuracy", "macro_f1")}
            for strategy, found in runs.items()
        },
    }


def main(
    task: Annotated[list[str] | None, typer.Option(help="As in `vitrine finetune`; may be repeated.")] = None,
    towers: Annotated[Towers, typer.Option(help="What items are judged by.")] = "text",
    limit: Annotated[int, typer.Option(min=100, help="Items whose labels may be uncovered.")] = 1500,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of the first labels.")] = 5,
    rounds: Annotated[int, typer.Option(min=2, help="Batches of 40 labels.")] = 9,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "labels.json",
) -> None:
    """Judge items by frozen towers, some minutes with one thread."""
    console, folder = Console(), data_folder() / "fashion_products"
    if not folder.exists():
        console.print(f"skipped: {folder} is not there (SHARED_DATA names the folder of the data sets)", soft_wrap=True)
        return
    torch.set_num_threads(1)
    began, bases = time.process_time(), Bases("minilm", str(ROOT / "triton_models" / "artefacts" / "demo"))
    plan = Plan(towers, limit, seeds, rounds=rounds)
    tasks = {name: measured(name, bases, plan) for name in task or ("base_colour", "article_type")}
    minutes = (time.process_time() - began) / 60
    about = machine.describe() | {"threads": 1, "processor_minutes": round(minutes, 2)}
    result = {"machine": about, "plan": asdict(plan), "tasks": tasks}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(result, out.with_suffix(".png"))
    console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.labels: {error}", err=True)
        sys.exit(2)

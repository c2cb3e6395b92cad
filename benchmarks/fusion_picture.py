"""The fusion benchmark as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

_TEXT, _IMAGE, _BOTH, _IDS, _OLD = "#d9a441", "#3f7cac", "#c8443f", "#7d8a97", "#b3bec7"
_ROWS = {
    "ids": _OLD,
    "text": _TEXT,
    "image": _IMAGE,
    "ids+text": "#c9b27a",
    "ids+image": "#7fa3bf",
    "text+image": "#dd837e",
    "ids+text+image": _BOTH,
}
_MODELS = {
    "item-KNN": (_OLD, "neighbours (item-KNN)"),
    "encoder, ids": ("#9aa5b1", "encoder: ids"),
    "encoder, ids+text+image": ("#dd837e", "encoder: ids + text + image"),
    "blend, ids": (_IDS, "with neighbours: ids"),
    "blend, ids+text+image": (_BOTH, "with neighbours: ids + text + image"),
    "blend, rare items lifted, ids+text+image": ("#8e2f2b", "… and rare items lifted"),
}


def draw(result: dict[str, Any], target: Path) -> None:
    """A row of panels for each part that the result holds."""
    parts = result["parts"]
    figure = plt.figure(figsize=(13, 4.0 * len(parts)), layout="constrained")
    for place, (name, figures) in zip(figure.subfigures(len(parts), 1, squeeze=False)[:, 0], parts.items(), strict=True):
        draw_part: Callable[[Any, dict[str, Any]], None] = _PARTS[name]
        draw_part(place, figures)
        about = figures["machine"]
        run = f"{about['cores']} cores, {about['threads']} thread, seed {about['seed']}, commit {about['commit']}"
        place.text(0.995, 0.985, f"{run}, {about['date'][:10]}", ha="right", va="top", fontsize=7, color="#888")
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _bare(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    if axis.get_xscale() == "linear" and axis.get_xlim()[1] < 1:
        axis.xaxis.set_major_locator(MaxNLocator(5))


def _histories(place: Any, figures: dict[str, Any]) -> None:
    title = f"Next item of {figures['users']:,} visitors among {figures['items']:,} items: what content adds"
    place.suptitle(title, fontsize=12, x=0.01, ha="left")
    left, middle, right = place.subplots(1, 3, width_ratios=(1, 1, 1.5))
    known = {name: style for name, style in _MODELS.items() if name in figures["models"]}
    for axis, (metric, goal) in zip((left, middle), figures["goals"].items(), strict=True):
        values = [figures["models"][name][metric] for name in known]
        bars = axis.barh([label for _, label in known.values()], values, color=[colour for colour, _ in known.values()])
        axis.bar_label(bars, fmt="%.4f", fontsize=8, padding=-40, color="white", fontweight="bold")
        axis.axvline(goal["goal"], color="black", linewidth=1, linestyle="--")
        axis.set_xlim(0, max(*values, goal["goal"]) * 1.08)
        axis.invert_yaxis()
        _bare(axis, f"{metric}; goal {goal['goal']:.3f} {'met' if goal['met'] else 'missed'}")
    middle.set_yticklabels([])
    groups = figures["by count"]
    chosen = [name for name in known if name == "item-KNN" or (name.startswith("blend") and "text" in name)]
    for number, name in enumerate(chosen):
        spots = [group + (number - 1) * 0.27 for group in range(len(groups))]
        bars = right.bar(spots, [row[name] for row in groups], 0.26, color=_MODELS[name][0], label=_MODELS[name][1])
        right.bar_label(bars, fmt=lambda value: f"{value:.3f}".lstrip("0"), fontsize=7)
    right.set_xticks(range(len(groups)), [f"{row['seen']}\n{row['targets']:,} targets" for row in groups])
    right.set_yscale("log")
    right.set_ylim(0.5 * min(row[name] + 1e-3 for row in groups for name in chosen), 1.0)
    right.yaxis.set_major_formatter("{x:g}")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    _bare(right, "recall@10 by how often training saw the target")


def _cold(place: Any, figures: dict[str, Any]) -> None:
    title = (
        f"{figures['hidden items']:,} items that training never saw, {figures['queries']:,} visitors who want one of them next"
    )
    place.suptitle(title, fontsize=12, x=0.01, ha="left")
    panels = (
        ("easy", "recall@10", "among the hidden items"),
        ("easy", "ndcg@10", "among the hidden items"),
        ("hard", "recall@10", "among all items"),
    )
    for axis, (kind, metric, words) in zip(place.subplots(1, 3), panels, strict=True):
        rows = figures["rows"]
        near = [row["content neighbours"][kind][metric] if "content neighbours" in row else 0.0 for row in rows.values()]
        model = [row[kind][metric] for row in rows.values()]
        spots = np.arange(len(rows))
        for values, move, alpha, label in ((near, -0.2, 1.0, "content neighbours"), (model, 0.2, 0.45, "trained encoder")):
            bars = axis.barh(spots + move, values, 0.4, color=[_ROWS[name] for name in rows], alpha=alpha, label=label)
            axis.bar_label(bars, [f"{value:.4f}" if value else "" for value in values], fontsize=7, padding=3)
        axis.set_yticks(spots, list(rows))
        if metric == "recall@10":
            axis.axvline(figures["chance"][kind], color="black", linewidth=1, linestyle=":")
            axis.text(figures["chance"][kind], len(rows) - 0.45, " chance", fontsize=7, va="top")
        axis.set_xlim(0, max(*near, *model) * 1.2)
        axis.invert_yaxis()
        _bare(axis, f"{metric} {words}")
    axis.legend(
        [Rectangle((0, 0), 1, 1, color=_BOTH, alpha=alpha) for alpha in (1.0, 0.45)],
        ["content neighbours", "trained encoder"], frameon=False, fontsize=8, loc="upper right",
    )  # fmt: skip


def _fashion(place: Any, figures: dict[str, Any]) -> None:
    better = sum(figures["both better than either"].values())
    count = figures["products"]["test"]
    title = f"{count} photographed products by title, photo and both: both is best in {better} of {len(figures['tasks'])} tasks"
    place.suptitle(title, fontsize=12, x=0.01, ha="left")
    colours = {"text": _TEXT, "image": _IMAGE, "text+image": _BOTH}
    labels = {"text": "title without the answer's words", "image": "photo", "text+image": "both"}
    axes = place.subplots(1, len(figures["tasks"]), sharey=False)
    for axis, (task, measure) in zip(axes, figures["judged by"].items(), strict=True):
        values = [figures["tasks"][task][kind][measure] for kind in colours]
        bars = axis.bar(list(labels.values()), values, color=list(colours.values()), width=0.8)
        axis.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
        axis.set_xticks([])
        axis.set_ylim(0, max(values) * 1.15)
        _bare(axis, f"{task}\n{measure}")
    place.legend(
        [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()],
        list(labels.values()),
        loc="outside lower left",
        ncols=3,
        frameon=False,
        fontsize=8,
    )


_PARTS: dict[str, Callable[[Any, dict[str, Any]], None]] = {"histories": _histories, "cold": _cold, "fashion": _fashion}

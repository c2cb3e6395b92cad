"""The quality benchmark as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {
    "popularity": "#cfd6dc",
    "item-KNN": "#b3bec7",
    "SR": "#9aa5b1",
    "V-SKNN": "#7d8a97",
    "encoder": "#3f7cac",
    "blend": "#c8443f",
}
"""Models in the order of their bars: baselines, then ours."""
_LABELS = {"encoder": "encoder (ours)", "blend": "blend (ours)"}


def draw(result: dict[str, Any], target: Path) -> None:
    """A panel for each set and metric with a goal: a bar for each model and a line at the goal."""
    panels = [(name, metric) for name, figures in result["sets"].items() for metric in figures["goals"]]
    rows = len(result["sets"])
    columns = max(len(figures["goals"]) for figures in result["sets"].values())
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 2.5 * rows), layout="constrained", squeeze=False)
    for axis, (name, metric) in zip(axes.flat, panels, strict=False):
        figures = result["sets"][name]
        values = [figures["models"][model][metric] for model in _COLOURS]
        bars = axis.barh([_LABELS.get(model, model) for model in _COLOURS], values, color=list(_COLOURS.values()))
        axis.bar_label(bars, fmt="%.4f", fontsize=7, padding=3)
        goal = figures["goals"][metric]
        words = f"goal {goal['goal']:.4f}, {'met' if goal['met'] else 'missed'}"
        axis.axvline(goal["goal"], color="black", linewidth=1, linestyle="--", label=words)
        axis.set_xlim(0, max(*values, goal["goal"]) * 1.18)
        axis.set_title(f"{name}: {metric}", fontsize=10)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, -0.34), frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(target, dpi=110)
    plt.close(figure)

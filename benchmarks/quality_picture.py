"""The quality benchmark as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {
    "popularity": "#cfd6dc",
    "ALS (implicit)": "#cfd6dc",
    "item-KNN (implicit)": "#b3bec7",
    "item-KNN": "#b3bec7",
    "SR": "#9aa5b1",
    "V-SKNN": "#9aa5b1",
    "SASRec": "#7d8a97",
    "encoder": "#3f7cac",
    "blend": "#c8443f",
}
"""Models in the order of their bars, from below: baselines and peers, then ours; those that were not measured are left out."""
_LABELS = {"encoder": "encoder (ours)", "blend": "blend (ours)"}


def draw(result: dict[str, Any], target: Path) -> None:
    """A panel for each set and metric with a goal: a bar for each model and a line at the goal."""
    panels = [(name, metric) for name, figures in result["sets"].items() for metric in figures["goals"]]
    rows = len(result["sets"])
    columns = max(len(figures["goals"]) for figures in result["sets"].values())
    figure, axes = plt.subplots(rows, columns, figsize=(4.8 * columns, 3.1 * rows), layout="constrained", squeeze=False)
    for axis, (name, metric) in zip(axes.flat, panels, strict=False):
        _panel(axis, name, metric, result["sets"][name])
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _panel(axis: Any, name: str, metric: str, figures: dict[str, Any]) -> None:
    """Bars of one metric of one set, with whiskers of one standard deviation where there are several seeds."""
    models = [model for model in _COLOURS if model in figures["models"]]
    values = [figures["models"][model][metric] for model in models]
    spread = [figures.get("spread", {}).get(model, {}).get(metric, 0.0) for model in models]
    colours = [_COLOURS[model] for model in models]
    bars = axis.barh([_LABELS.get(model, model) for model in models], values, color=colours)
    for bar, value, width in zip(bars, values, spread, strict=True):
        if width:
            middle = bar.get_y() + bar.get_height() / 2
            axis.errorbar(value, middle, xerr=width, color="black", linewidth=1, capsize=2)
    labels = [f"{value:.4f}" + (f" ± {width:.4f}" if width else "") for value, width in zip(values, spread, strict=True)]
    for text in axis.bar_label(bars, labels, fontsize=7, padding=5):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # over the line of the goal
    goal = figures["goals"][metric]
    words = f"goal {goal['goal']:.4f}, {'met' if goal['met'] else 'missed'}"
    axis.axvline(goal["goal"], color="black", linewidth=1, linestyle="--", label=words, zorder=1)
    axis.set_xlim(0, max(*values, goal["goal"]) * 1.34)
    seeds = len(figures.get("seeds", [0]))
    axis.set_title(f"{name}: {metric}" + (f", mean of {seeds} seeds" if seeds > 1 else ""), fontsize=10)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, -0.3), frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)

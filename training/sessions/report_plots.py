"""Plots of a run's figures as SVG text, to stand inside an HTML page."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

COLOURS = {"blend": "#c8443f", "encoder": "#3f7cac", "V-SKNN": "#7d8a97"}
_AXES = {
    "length": "clicks in the prefix",
    "clicks": "clicks of the target in training",
    "position": "target's last place, clicks before the end",
}
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "svg.hashsalt": "vitrine"}


def _svg(figure: Any) -> str:
    """The figure as an svg element, without the XML declaration."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _bare(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#eef0f3")
    axis.set_axisbelow(True)


def learning_curve(figures: dict[str, Any]) -> str:
    """Loss of both stages, validation figures of the first, loss of the blend."""
    curve = figures["curve"]
    numbers = range(1, len(curve) + 1)
    fit = [row["stage"] == "fit" for row in curve]
    with mpl.rc_context(_STYLE):
        figure, (loss, quality, blend) = plt.subplots(1, 3, figsize=(10.4, 2.9), layout="constrained")
        loss.plot(numbers, [row["loss"] for row in curve], color="#c8cdd3", linewidth=1)
        for stage, colour, words in ((True, "#3f7cac", "before the validation slice"), (False, "#d98c3f", "all sessions")):
            at = [number for number, is_fit in zip(numbers, fit, strict=True) if is_fit is stage]
            if at:
                loss.plot(at, [curve[number - 1]["loss"] for number in at], "o", color=colour, markersize=4, label=words)
        loss.legend(frameon=False, fontsize=8)
        loss.set(title="encoder: training loss", xlabel="epoch")
        judged = [row for row in curve if row["stage"] == "fit"]
        for metric, colour in ((f"recall@{figures['k']}", "#3f7cac"), (f"mrr@{figures['k']}", "#7d8a97")):
            quality.plot(
                range(1, len(judged) + 1), [row[metric] for row in judged], "o-", color=colour, markersize=4, label=metric
            )
        quality.set_ylim(bottom=0)
        quality.legend(frameon=False, fontsize=8)
        quality.set(title="encoder: validation slice", xlabel="epoch")
        blend.plot(range(1, len(figures["blend_curve"]) + 1), figures["blend_curve"], "o-", color="#c8443f", markersize=4)
        blend.set(title="blend: loss on held-out queries", xlabel="epoch")
        for axis in (loss, quality, blend):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            _bare(axis)
        return _svg(figure)


def by_group(figures: dict[str, Any], axis_name: str) -> str:
    """Recall and MRR of the models by one axis of the breakdown, over the share of queries in each group."""
    groups = figures["breakdowns"]["blend"][axis_name]
    names = [row["from"] for row in groups]
    total = sum(row["queries"] for row in groups)
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10.4, 2.9), layout="constrained")
        for axis, metric in zip(axes, (f"recall@{figures['k']}", f"mrr@{figures['k']}"), strict=True):
            for model, rows in figures["breakdowns"].items():
                values = [row[metric] for row in rows[axis_name]]
                axis.plot(names, values, "o-", color=COLOURS.get(model, "#52606d"), markersize=4, label=model)
            axis.set_ylim(bottom=0)
            axis.set(title=metric, xlabel=_AXES[axis_name])
            axis.set_xticks(
                range(len(names)), [f"{name}\n{row['queries'] / total:.0%}" for name, row in zip(names, groups, strict=True)]
            )
            _bare(axis)
        axes[0].legend(frameon=False, fontsize=8)
        return _svg(figure)


def before_and_after(figures: dict[str, Any]) -> str:
    """Recall and MRR from the untrained encoder to the blend."""
    steps = [name for name in ("encoder before training", "encoder", "blend") if name in figures["models"]]
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10.4, 2.1), layout="constrained")
        for axis, metric in zip(axes, (f"recall@{figures['k']}", f"mrr@{figures['k']}"), strict=True):
            values = [figures["models"][name][metric] for name in steps]
            bars = axis.barh(steps[::-1], values[::-1], color=[COLOURS.get(name, "#cfd6dc") for name in steps[::-1]])
            axis.bar_label(bars, fmt="%.4f", padding=4)
            axis.set_xlim(0, max(*values, 1e-6) * 1.15)
            axis.set_title(metric)
            axis.spines[["top", "right"]].set_visible(False)
        return _svg(figure)

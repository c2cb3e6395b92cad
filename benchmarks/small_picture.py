"""The small-shop benchmark as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_LINES = {
    "popularity": ("#9aa5b1", ":", "o"),
    "item-KNN": ("#7d8a97", "--", "s"),
    "encoder": ("#9ecae1", "-", "^"),
    "encoder, augmented": ("#3f7cac", "-", "v"),
    "encoder, warm start": ("#f0a35e", "-", "D"),
    "encoder, warm start, augmented": ("#d9772b", "-", "P"),
    "blended": ("#c8443f", "-", "*"),
}


def draw(result: dict[str, Any], target: Path) -> None:
    """Recall@20 and MRR@20 by sessions, with the spread over the seeds."""
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.8), layout="constrained")
    sizes = [row["sessions"] for row in result["curve"]]
    for axis, metric in zip(axes, ("recall@20", "mrr@20"), strict=True):
        for place, (name, (colour, style, marker)) in enumerate(_LINES.items()):
            values = [row["models"][name][metric] for row in result["curve"]]
            shift = 1.0 + 0.02 * (place - len(_LINES) / 2)  # so that error bars do not hide each other
            axis.errorbar(
                [size * shift for size in sizes],
                [value["mean"] for value in values],
                yerr=[value["spread"] for value in values],
                color=colour,
                linestyle=style,
                marker=marker,
                capsize=2,
                linewidth=2 if name == "blended" else 1.4,
                label=name,
            )
        axis.set_xscale("log")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.set_xlabel("sessions that the shop has")
        axis.set_ylim(bottom=0)
        axis.set_title(f"{metric}, next item among {result['items']}", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(f"A small shop: mean and standard deviation of {result['seeds']} logs", fontsize=11)
    figure.savefig(target, dpi=110)
    plt.close(figure)

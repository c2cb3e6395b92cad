"""The summary of a series as a picture: recovery by kind of fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw(summary: dict[str, Any], file: Path) -> None:
    """Write a PNG.

    Args:
        summary: of `nemesis.series.summary_of`.
        file: where to.
    """
    kinds = {name: kind for name, kind in summary["kinds"].items() if kind["recovery_seconds_max"] is not None}
    names = sorted(kinds, key=lambda name: kinds[name]["recovery_seconds_max"])
    figure, axes = plt.subplots(figsize=(11, 1.8 + 0.27 * len(names)), layout="constrained")
    places = range(len(names))
    longest = axes.barh(places, [kinds[name]["recovery_seconds_max"] for name in names], color="#c9d6e8", label="longest")
    axes.bar_label(longest, fmt="%.1f", padding=3, fontsize=7, color="#667788")
    axes.barh(places, [kinds[name]["recovery_seconds_median"] for name in names], color="#2f5d8a", height=0.4, label="median")
    axes.set_yticks(places, [f"{name} ({kinds[name]['count']} x)" for name in names], fontsize=8)
    axes.margins(y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("seconds until every partition has a full page for a later event")
    count = summary["counts"]
    title = (
        f"{len(summary['runs'])} runs, {summary['faults']} faults, {count['events']:,} events: "
        f"{len(summary['violations'])} violations of the laws"
    )
    figure.suptitle(title, fontsize=11)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(file, dpi=110)
    plt.close(figure)

"""The summary of a series as a picture: recovery by kind of fault, and when each fault of each run fell."""

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
    figure, axes = plt.subplots(figsize=(10, 1.5 + 0.28 * len(names)))
    places = range(len(names))
    axes.barh(places, [kinds[name]["recovery_seconds_max"] for name in names], color="#c9d6e8", label="longest")
    axes.barh(places, [kinds[name]["recovery_seconds_median"] for name in names], color="#2f5d8a", height=0.4, label="median")
    axes.set_yticks(places, [f"{name} ({kinds[name]['count']} x)" for name in names], fontsize=8)
    axes.set_xlabel("seconds from the beginning of the fault until every partition has full, fresh pages again")
    count = summary["counts"]
    title = (
        f"{len(summary['runs'])} runs, {summary['faults']} faults, {count['events']} events: "
        f"{len(summary['violations'])} violations of the laws"
    )
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)

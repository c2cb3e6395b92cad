"""The latency benchmark as a picture."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib import ticker

from benchmarks.systems import TITLES

_COLOURS = {"echo": "#9aa5b1", "inprocess": "#d9a441", "triton": "#3f7cac", "product": "#c8443f"}


def draw(found: dict[str, Any], machine: dict[str, Any], target: Path) -> None:
    """p50 and p99 by rate on a logarithmic axis, and the highest rate that keeps p99 below 50 ms."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    systems = list(found["median"])
    for axis, name in zip(axes[:2], ("p50", "p99"), strict=True):
        for place, system in enumerate(systems):
            rates = found["median"][system]
            values = [rates[rate].get(name, float("nan")) for rate in rates]
            spots = [number + (place - len(systems) / 2 + 0.5) * 0.2 for number in range(len(rates))]
            bars = axis.bar(spots, values, 0.19, color=_COLOURS[system], label=TITLES[system])
            axis.bar_label(bars, fmt="%.1f", fontsize=7)
        axis.set_xticks(range(len(rates)), [f"{float(rate):.0f}/s" for rate in rates])
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.margins(y=0.08)
        axis.set_title(f"event to page, {name} (ms)")
        axis.spines[["top", "right"]].set_visible(False)
    heights = [statistics.median(found["highest_rate"][system]) for system in systems]
    bars = axes[2].barh([TITLES[system] for system in systems], heights, color=[_COLOURS[system] for system in systems])
    axes[2].bar_label(bars, fmt="%.0f", padding=3)
    axes[2].invert_yaxis()
    axes[2].set_title("highest rate with p99 < 50 ms (events/s)")
    axes[2].spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(systems), frameon=False, fontsize=8
    )
    figure.suptitle(
        f"{machine['cores']} cores, {machine['cpu']}, {machine['date'][:10]}, commit {machine['commit']}", fontsize=9
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)

"""The change of the model as a picture: event to page, second by second around the operator's command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from benchmarks.flip import Change

_P50, _P99 = "#3f7cac", "#c8443f"


def draw(changes: Sequence[Change], report: dict[str, Any], target: Path) -> None:
    """Left: the new version loads beside the old. Right: every change (thin) and their median (thick)."""
    loading, *flips = changes
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained", sharey=True, width_ratios=(1, 1.25))
    _lines(axes[0], [loading])
    axes[0].axvspan(0, min(loading.done, float(loading.times.max())), color="#f1e3c6", zorder=0)
    axes[0].set_title(f"the new version loads and warms up beside the old ({loading.done:.0f} s, shaded)", fontsize=10)
    axes[0].set_xlabel("seconds from its start")
    _lines(axes[1], flips)
    axes[1].axvline(0, color="#555", linewidth=1, linestyle="--")
    median = report["median"]
    axes[1].set_title(
        f"{len(flips)} changes of the live version; p99 {median['before_p99']:.1f} ms before, {median['during_p99']:.1f} ms "
        f"during, {median['after_p99']:.1f} ms after",
        fontsize=10,
    )
    axes[1].set_xlabel("seconds from the operator's command")
    axes[0].set_ylabel("event to page (ms)")
    for axis in axes:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:.0f}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
    axes[1].legend(loc="upper right", frameon=False, fontsize=9)
    machine = report["machine"]
    figure.suptitle(
        f"{report['rate']:.0f} events/s; {machine['cores']} cores, {machine['cpu']}, load {machine['load_before']}, "
        f"{machine['date'][:10]}, commit {machine['commit']}",
        fontsize=9,
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _lines(axis: Axes, changes: Sequence[Change]) -> None:
    """p50 and p99 of every second."""
    begin = int(np.ceil(max(change.times.min() for change in changes)))
    seconds = range(begin, int(min(change.times.max() for change in changes)))
    middles = [second + 0.5 for second in seconds]
    for percent, colour in ((50, _P50), (99, _P99)):
        all_ = [[change.p(percent, second, second + 1) for second in seconds] for change in changes]
        if len(all_) > 1:
            for line in all_:
                axis.plot(middles, line, color=colour, alpha=0.25, linewidth=0.9)
        axis.plot(middles, np.nanmedian(all_, axis=0), color=colour, linewidth=2.2, label=f"p{percent}")

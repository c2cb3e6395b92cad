"""The inference benchmark as a picture: time by way, and which ways may not be the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_GOOD, _BAD, _CHOSEN = "#3f7cac", "#c9ced6", "#2f8f5b"
_ROW = 0.42


def draw(report: dict[str, Any], target: Path) -> None:
    """Microseconds per row at a batch of 8, one panel a network; grey ways differ too much or depend on their batch."""
    networks = list(dict.fromkeys(line["network"] for line in report["lines"]))
    counts = [sum(line["network"] == network for line in report["lines"]) for network in networks]
    figure, axes = plt.subplots(
        len(networks), 1, figsize=(10.5, _ROW * sum(counts) + 1.1 * len(networks)), layout="constrained", height_ratios=counts
    )
    for axis, network in zip(axes, networks, strict=True):
        lines = [line for line in report["lines"] if line["network"] == network]
        values = [line.get("us_per_row_8", 0.0) for line in lines]
        ways = [line["way"] for line in lines]
        bars = axis.barh(ways, values, color=[_colour(line, report["chosen"]) for line in lines])
        axis.bar_label(bars, [_label(line) for line in lines], padding=4, fontsize=8)
        axis.set_xlim(0, max(values) * 1.75)
        axis.invert_yaxis()
        axis.set_title(network, loc="left", fontsize=10, fontweight="bold")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    axes[-1].set_xlabel("µs of processor time per row at a batch of 8, one thread (median)")
    machine = report["machine"]
    figure.suptitle(
        "green: serves · blue: allowed (overlap@20 ≥ 0.99, same bits in any batch), not clearly faster · grey: not allowed\n"
        f"{machine['cpu']}, load {machine['load_before']}, {machine['date'][:10]}, commit {machine['commit']}",
        fontsize=9,
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _colour(line: dict[str, Any], chosen: dict[str, str]) -> str:
    if chosen.get(line["network"]) == line["way"]:
        return _CHOSEN
    return _GOOD if line.get("overlap_at_20", 0) >= 0.99 and line.get("batch_invariant") else _BAD


def _label(line: dict[str, Any]) -> str:
    if "problem" in line:
        return str(line["problem"])[:80]
    bits = "" if line["batch_invariant"] else ", bits depend on the batch"
    return f"{line['us_per_row_8']:,.1f} µs, overlap@20 {line['overlap_at_20']:.3f}{bits}"

"""A soak as a picture: memory of each process around its value after the warm-up, and the age of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw(summary: dict[str, Any], lines: list[dict[str, Any]], file: Path) -> None:
    """Write a PNG.

    Args:
        summary: of `nemesis.soak.summary_of`.
        lines: the samples.
        file: where to.
    """
    figure, (memory, age) = plt.subplots(2, 1, figsize=(13, 7), sharex=True, height_ratios=(3, 2))
    minutes = [line["seconds"] / 60 for line in lines]
    warm_up = summary["plan"]["warm_up_seconds"] / 60
    for name, one in summary["processes"].items():
        grown = one["anonymous_mb"]
        if grown is None:
            continue
        base = grown["first"]
        values = [line["processes"].get(name, {}).get("anonymous_mb", float("nan")) - base for line in lines]
        label = f"{name}: {base:.0f} MB\n{grown['per_hour']:+.2f} MB/h ({grown['low']:+.2f} to {grown['high']:+.2f})"
        memory.plot(minutes, values, linewidth=1.0, label=label)
    after = [line for line in lines if line["seconds"] / 60 >= warm_up]
    reach = max((abs(v) for v in _moved(summary, after)), default=1.0) * 1.2 or 1.0
    memory.set_ylim(-reach, reach)  # the warm-up may leave the picture: it is not judged
    memory.axvspan(0, warm_up, color="#eeeeee")
    memory.set_ylabel("MB beside the value after warm-up")
    if memory.lines:
        memory.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), title="after warm-up (95 % interval)")
    words = ", ".join(f"{name.replace('_', ' ')} {verdict}" for name, verdict in summary["verdicts"].items())
    memory.set_title(f"{summary['hours']} h at {summary['plan']['rate']:.0f} events/s, anonymous memory; {words}", fontsize=9)
    age.axvspan(0, warm_up, color="#eeeeee", label="warm-up, not judged")
    age.plot(minutes, [line["p99_ms"] for line in lines], linewidth=0.9, color="#b5533c", label="event to page, p99")
    age.plot(minutes, [line["p50_ms"] for line in lines], linewidth=0.9, color="#2f5d8a", label="p50")
    age.set_yscale("log")
    age.set_ylabel("ms")
    age.set_xlabel("minutes")
    age.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _moved(summary: dict[str, Any], lines: list[dict[str, Any]]) -> list[float]:
    moved = []
    for name, one in summary["processes"].items():
        if one["anonymous_mb"] is not None:
            base = one["anonymous_mb"]["first"]
            moved += [line["processes"][name]["anonymous_mb"] - base for line in lines if name in line["processes"]]
    return moved

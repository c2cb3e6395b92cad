"""The continual-learning benchmark as a picture."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_PAIRS = {
    "encoder": ("encoder, frozen", "encoder, continual", "#3f7cac"),
    "neighbours": ("neighbours, frozen", "neighbours, live", "#4f9d69"),
    "trend": ("trend, frozen", "trend, live", "#d9a441"),
    "mixture": ("mixture, frozen", "mixture, live", "#c8443f"),
}
_SMOOTH = 6
"""Hours over which the curves are averaged, each by its clicks."""


def draw(result: dict[str, Any], target: Path) -> None:
    """Recall@20 by hour, frozen against learning; by day; and the updates on the old and the newest slice."""
    figure, axes = plt.subplots(2, 2, figsize=(13, 8), layout="constrained", width_ratios=(1.5, 1))
    _hours(axes[0, 0], result["hours"])
    _days(axes[0, 1], result["days"])
    _updates(axes[1, 0], result)
    _latency(axes[1, 1], result)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.suptitle(
        f"Test, then train: {result['ranked_clicks']:,} clicks of {result['data']} ranked before they are learned", fontsize=11
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _smoothed(hours: list[dict[str, Any]], name: str) -> list[float]:
    values = []
    for end in range(1, len(hours) + 1):
        part = hours[max(0, end - _SMOOTH) : end]
        values.append(sum(row[name][0] * row["clicks"] for row in part) / sum(row["clicks"] for row in part))
    return values


def _hours(axis: Any, hours: list[dict[str, Any]]) -> None:
    times = [datetime.fromisoformat(row["from"]) for row in hours]
    for label, (frozen, learning, colour) in _PAIRS.items():
        axis.plot(times, _smoothed(hours, frozen), color=colour, linestyle=":", linewidth=1.3)
        axis.plot(times, _smoothed(hours, learning), color=colour, linewidth=1.8, label=label)
    axis.plot([], [], color="black", linestyle=":", label="the same, frozen")
    axis.set_title(f"Recall@20 by hour (mean of {_SMOOTH} hours)", fontsize=10)
    midnights = [time for time in times if time.hour == 0]
    axis.set_xticks(midnights, [time.strftime("%d %b") for time in midnights])
    axis.grid(alpha=0.25)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.06))


def _days(axis: Any, days: list[dict[str, Any]]) -> None:
    days = [row for row in days if row["clicks"] >= 100]
    places = range(len(days))
    for offset, (label, (frozen, learning, colour)) in enumerate(_PAIRS.items()):
        gains = [100 * (row[learning][0] - row[frozen][0]) for row in days]
        bars = axis.bar([place + 0.2 * (offset - 1.5) for place in places], gains, 0.19, color=colour, label=label)
        axis.bar_label(bars, fmt="%+.1f", fontsize=7, padding=1)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(places, [datetime.fromisoformat(row["from"]).strftime("%d %b") for row in days])
    axis.set_title("gain over the frozen one, points of Recall@20", fontsize=10)


def _updates(axis: Any, result: dict[str, Any]) -> None:
    updates = result["updates"]
    numbers = [update["number"] for update in updates]
    axis.plot(numbers, [update["old"]["recall@20"] for update in updates], color="#3f7cac", label="candidate on the old slice")
    axis.plot(
        numbers,
        [update["newest"]["recall@20"] for update in updates],
        color="#c8443f",
        label="candidate on the newest sessions",
    )
    axis.plot(
        numbers, [update["newest"]["before"] for update in updates], color="#c8443f", linestyle=":", label="serving model there"
    )
    refused = [update for update in updates if not update["published"]]
    axis.plot(
        [update["number"] for update in refused],
        [update["newest"]["recall@20"] for update in refused],
        "x",
        color="black",
        label=f"not published ({len(refused)} of {len(updates)})",
    )
    axis.axhline(
        0.99 * result["old_slice"]["frozen"]["recall@20"],
        color="#3f7cac",
        linestyle="--",
        linewidth=1,
        label="old slice: the limit",
    )
    axis.set_xlabel("update", fontsize=9)
    axis.set_title("Recall@20 of each update", fontsize=10)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)


def _latency(axis: Any, result: dict[str, Any]) -> None:
    parts = {name: value for name, value in result["microseconds"].items() if isinstance(value, dict)}
    places = range(len(parts))
    for offset, (quantile, colour) in enumerate((("p50", "#3f7cac"), ("p99", "#9ecae1"))):
        bars = axis.barh(
            [place + 0.36 * offset for place in places],
            [value[quantile] for value in parts.values()],
            0.34,
            color=colour,
            label=quantile,
        )
        axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    axis.set_yticks([place + 0.18 for place in places], list(parts))
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlim(right=2.5 * max(value["p99"] for value in parts.values()))
    axis.set_title(
        f"microseconds an event, one thread ({result['microseconds']['events_per_second']:,.0f} events/s)", fontsize=10
    )
    axis.legend(frameon=False, fontsize=8, loc="center right")

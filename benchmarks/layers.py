"""From rounds to figures: medians, ratios of the product to the hand-written loop, and what each layer costs; pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Figures = dict[str, float]
Rounds = Mapping[str, Mapping[str, Sequence[Figures]]]
"""System to rate to one dict of figures a round."""

LAYERS = (
    ("Kafka, two hops", "echo", None),
    ("fold, model, rules, page and state writes", "inprocess", "echo"),
    ("Triton hop (model in its own process)", "triton", "inprocess"),
    ("Faust, five delivery rules, pipelining", "product", "triton"),
)


def medians(rounds: Sequence[Figures]) -> Figures:
    """Median over the rounds of every figure that all of them have."""
    names = set.intersection(*(set(found) for found in rounds))
    return {name: round(statistics.median(found[name] for found in rounds), 3) for name in sorted(names)}


def spread(values: Sequence[float]) -> Figures:
    """Median, minimum and maximum."""
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def ratios(rounds: Rounds, highest: Mapping[str, Sequence[float]], over: str = "triton") -> dict[str, Figures]:
    """Product over another system, round by round, so that what the machine did meanwhile cancels out."""
    if not {"product", over} <= set(rounds):
        return {}
    found: dict[str, Figures] = {}
    for rate, ours in rounds["product"].items():
        for name in ("p50", "p99"):
            pairs = [a[name] / b[name] for a, b in zip(ours, rounds[over][rate], strict=True) if name in a and b.get(name)]
            if pairs:
                found[f"{name} at {float(rate):.0f}/s"] = spread(pairs)
    pairs = [a / b for a, b in zip(highest["product"], highest[over], strict=True) if b]
    if pairs:
        found["highest rate"] = spread(pairs)
    return found


def layer_costs(median: Mapping[str, Mapping[str, Figures]], rate: str) -> list[dict[str, float | str]]:
    """What each layer adds at a rate: milliseconds of p50 and p99, CPU milliseconds per event.

    Differences of medians: a layer that saves more than it costs (a second process on a second core) is negative.
    """
    rows: list[dict[str, float | str]] = []
    for title, with_it, without in LAYERS:
        if with_it not in median or (without is not None and without not in median):
            continue
        have = median[with_it][rate]
        base = median[without][rate] if without is not None else {}
        names = [name for name in ("p50", "p99", "cpu_ms_per_event") if name in have and (without is None or name in base)]
        rows.append({"layer": title, **{name: round(have[name] - base.get(name, 0.0), 3) for name in names}})
    return rows

"""Event to page: the product beside hand-written loops, interleaved in one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.driver import Driver, Measured
from benchmarks.systems import ITEMS, SYSTEMS, Bench, System, running
from contracts.errors import VitrineError

RATES = (50.0, 200.0, 500.0)
STEPS = (600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0, 1800.0, 2000.0, 2300.0, 2600.0)
LIMIT_MS = 50.0


class NotAnswering(VitrineError):
    """A system did not begin to answer; the message holds the end of its log."""


def _warm(system: System, driver: Driver) -> None:
    started = time.monotonic()
    while time.monotonic() - started < 60:
        if driver.load(20, 0.5, 1.0).unanswered == 0:
            system.start_seconds = time.monotonic() - started
            driver.load(200, 3.0)
            return
    message = f"{system.name} does not answer; the end of its log:\n{system.child.log_tail(20)}"
    raise NotAnswering(message)


def _round(system: System, driver: Driver, rate: float, seconds: float) -> dict[str, float]:
    before = system.cpu_seconds()
    measured = driver.load(rate, seconds)
    used = system.cpu_seconds() - before
    return {**measured.summary(), "cpu_ms_per_event": round(used / max(measured.sent, 1) * 1000, 3)}


def _holds(measured: Measured) -> bool:
    return measured.unanswered == 0 and measured.summary().get("p99", float("inf")) < LIMIT_MS


def _highest(driver: Driver, seconds: float) -> float:
    """The highest step whose p99 is below the limit; a step that fails is tried once more."""
    best = 0.0
    for rate in STEPS:
        if not (_holds(driver.load(rate, seconds)) or _holds(driver.load(rate, seconds))):
            break
        best = rate
    return best


def measure(rounds: int, seconds: float, tell: Callable[[str], object], systems: Sequence[str] = SYSTEMS) -> dict[str, Any]:
    """All systems at all rates, round after round in turn, then the highest rates in turn.

    Args:
        rounds: how many times each system is measured at each rate.
        seconds: length of one measurement.
        tell: receives a line of progress.
        systems: which to run.
    """
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder, running(Path(folder), tuple(systems)) as bench:
        items = [f"i{number}" for number in range(ITEMS)]
        drivers = {name: Driver(system.settings.kafka, items) for name, system in bench.systems.items()}
        try:
            return _all(bench, drivers, rounds, seconds, tell)
        finally:
            for driver in drivers.values():
                driver.close()


def _all(
    bench: Bench, drivers: dict[str, Driver], rounds: int, seconds: float, tell: Callable[[str], object]
) -> dict[str, Any]:
    for name, system in bench.systems.items():
        _warm(system, drivers[name])
        tell(f"{name} answers")
    figures: dict[str, dict[str, list[dict[str, float]]]] = {name: {str(rate): [] for rate in RATES} for name in bench.systems}
    for number in range(rounds):
        for rate in RATES:
            for name, system in bench.systems.items():
                figures[name][str(rate)].append(_round(system, drivers[name], rate, seconds))
                last = figures[name][str(rate)][-1]
                tell(f"round {number + 1}/{rounds}, {rate:.0f}/s, {name}: p50 {last.get('p50')} p99 {last.get('p99')}")
    highest: dict[str, list[float]] = {name: [] for name in bench.systems}
    for _ in range(min(rounds, 3)):
        for name in bench.systems:
            highest[name].append(_highest(drivers[name], seconds))
            tell(f"highest rate of {name}: {highest[name][-1]:.0f}/s")
    return {
        "rounds": figures,
        "median": {name: {rate: _medians(found) for rate, found in rates.items()} for name, rates in figures.items()},
        "highest_rate": highest,
        "ratios": _ratios(figures, highest),
        "resident_mb": {name: round(system.resident_mb(), 1) for name, system in bench.systems.items()},
        "start_seconds": {
            **{name: round(value, 2) for name, value in bench.start_seconds.items()},
            **{name: round(system.start_seconds, 2) for name, system in bench.systems.items()},
        },
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(found) for found in rounds))
    return {name: round(statistics.median(found[name] for found in rounds), 3) for name in sorted(names)}


def _ratios(
    figures: dict[str, dict[str, list[dict[str, float]]]], highest: dict[str, list[float]]
) -> dict[str, dict[str, list[float] | float]]:
    """Product over hand loop with Triton, round by round: minimum, median, maximum."""
    if not {"product", "triton"} <= set(figures):
        return {}
    found: dict[str, dict[str, list[float] | float]] = {}
    for rate, ours in figures["product"].items():
        for name in ("p50", "p99"):
            pairs = [a[name] / b[name] for a, b in zip(ours, figures["triton"][rate], strict=True) if name in a and name in b]
            if pairs:
                found[f"{name} at {rate}/s"] = _spread(pairs)
    pairs = [a / b for a, b in zip(highest["product"], highest["triton"], strict=True) if b]
    if pairs:
        found["highest rate"] = _spread(pairs)
    return found


def _spread(values: list[float]) -> dict[str, list[float] | float]:
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}

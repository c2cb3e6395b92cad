"""Event to page: the product beside hand-written loops, interleaved in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import layers, limits
from benchmarks.driver import Driver
from benchmarks.systems import ITEMS, Bench, System
from contracts.errors import VitrineError

RATES = (50.0, 200.0, 500.0)
LIMIT_MS = 50.0
_STARTS = {"echo": 3000.0, "inprocess": 1000.0, "triton": 700.0, "product": 700.0}
_SETTLE_SECONDS = 20.0
_LATE_MS = 25.0  # a driver that is further behind its schedule does not send the rate that it says


class NotAnswering(VitrineError):
    """A system did not begin to answer; the message holds the end of its log."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: how many times each system is measured at each rate, in turn.
        seconds: length of one measurement.
        limit_rounds: how many times the highest rate is looked for.
        limit_seconds: length of one step of that search.
        budget_seconds: no further round begins after this time.
    """

    rounds: int = 5
    seconds: float = 5.0
    limit_rounds: int = 3
    limit_seconds: float = 3.0
    budget_seconds: float = 330.0


class Latency:
    """Drives all systems of a running bench.

    Args:
        bench: broker, Triton and systems.
        effort: how much to measure.
        tell: receives a line of progress.
    """

    def __init__(self, bench: Bench, effort: Effort, tell: Callable[[str], object]) -> None:
        items = [f"i{number}" for number in range(ITEMS)]
        self._bench = bench
        self._effort = effort
        self._tell = tell
        self.drivers = {name: Driver(system.settings.kafka, items) for name, system in bench.systems.items()}

    def close(self) -> None:
        """Close the drivers."""
        for driver in self.drivers.values():
            driver.close()

    def warm(self) -> None:
        """Start one system after the other, wait until it answers, then load it once.

        Raises:
            NotAnswering: a system does not.
        """
        for name, system in self._bench.systems.items():
            _warm(system, self.drivers[name])
            self._tell(f"{name} answers")

    def measure(self) -> dict[str, Any]:
        """All systems at all rates, round after round in turn, then the highest rates in turn."""
        rounds = self._rounds()
        highest = self._highest()
        median = {name: {rate: layers.medians(found) for rate, found in rates.items()} for name, rates in rounds.items()}
        return {
            "rounds": rounds,
            "median": median,
            "highest_rate": highest,
            "ratios": layers.ratios(rounds, highest),
            "layers": {str(rate): layers.layer_costs(median, str(rate)) for rate in RATES},
            "resident_mb": self._bench.resident_mb(),
            "start_seconds": self._bench.starts(),
        }

    def _rounds(self) -> dict[str, dict[str, list[dict[str, float]]]]:
        effort, systems = self._effort, self._bench.systems
        figures: dict[str, dict[str, list[dict[str, float]]]] = {name: {str(rate): [] for rate in RATES} for name in systems}
        started = time.monotonic()
        for number in range(effort.rounds):
            if number and time.monotonic() - started > effort.budget_seconds:
                self._tell(f"stopped after {number} rounds: the time is used up")
                break
            for rate in RATES:
                for name, system in systems.items():
                    found = self._round(system, rate)
                    figures[name][str(rate)].append(found)
                    times = f"p50 {found.get('p50', float('nan')):.1f} ms  p99 {found.get('p99', float('nan')):.1f} ms"
                    self._tell(f"round {number + 1}/{effort.rounds}  {rate:.0f}/s  {name:<10} {times}")
        return figures

    def _round(self, system: System, rate: float) -> dict[str, float]:
        before, broker_before = system.cpu_seconds(), self._bench.broker_cpu_seconds()
        measured = self.drivers[system.name].load(rate, self._effort.seconds)
        used, broker_used = system.cpu_seconds() - before, self._bench.broker_cpu_seconds() - broker_before
        return {
            **measured.summary(),
            "cpu_ms_per_event": round(used / max(measured.sent, 1) * 1000, 3),
            "broker_cpu_ms_per_event": round(broker_used / max(measured.sent, 1) * 1000, 3),
        }

    def _highest(self) -> dict[str, list[float]]:
        effort = self._effort
        highest: dict[str, list[float]] = {name: [] for name in self._bench.systems}
        for _ in range(effort.limit_rounds):
            for name, driver in self.drivers.items():
                start = highest[name][-1] if highest[name] else _STARTS[name]
                found = limits.highest_rate(partial(self._holds, driver), start)
                highest[name].append(found)
                self._tell(f"highest rate of {name} with p99 < {LIMIT_MS:.0f} ms: {found:.0f}/s")
        return highest

    def _holds(self, driver: Driver, rate: float) -> bool:
        measured = driver.load(rate, self._effort.limit_seconds, drain_seconds=1.0)
        is_answered = measured.unanswered == 0 and measured.sending_late_ms < _LATE_MS
        is_held = is_answered and measured.summary().get("p99", float("inf")) < LIMIT_MS
        if not is_held:
            _settle(driver)
        return is_held


def _settle(driver: Driver) -> None:
    """Wait until what an overload left behind has been answered, so that the next rate is not blamed for it."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline and driver.load(20, 0.2, 5.0).unanswered:
        pass


def _warm(system: System, driver: Driver) -> None:
    started = time.monotonic()
    system.child.start()
    while time.monotonic() - started < 60:
        if driver.load(10, 0.1, 0.1).unanswered == 0:
            system.start_seconds = time.monotonic() - started
            driver.load(200, 3.0)
            return
    message = f"{system.name} does not answer; the end of its log:\n{system.child.log_tail(20)}"
    raise NotAnswering(message)

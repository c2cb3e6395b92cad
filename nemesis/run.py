"""One run: traffic, faults drawn by a seed, healing, and the checker's word."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from contracts.topics import EVENTS, PAGES
from nemesis.checker import Report, check, oracle
from nemesis.faults import FAULTS, Fault
from nemesis.lab import Lab
from nemesis.topic import Stored, lag, read_topic
from nemesis.workload import Traffic

_HEAL_SECONDS = 90.0
_TRUTH_SECONDS = 5.0


@dataclass
class Inflicted:
    """One fault of a run: evidence, whether health told the truth, seconds until all was healthy and staleness after."""

    name: str
    evidence: str
    at_seconds: float
    health_told: bool | None
    heal_seconds: float


@dataclass
class Outcome:
    """A whole run."""

    seed: int
    seconds: float
    sent: int
    faults: list[Inflicted] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    staleness_ms: dict[str, float] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether every fault really happened; a run without them proves nothing."""
        return all(fault.evidence for fault in self.faults)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "valid": self.is_valid, "laws_hold": not self.report.violations}


class _HealthWatch:
    """Notes which processes were called unhealthy, or had no pid, while it runs."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._stop = threading.Event()
        self.unwell: dict[str, float] = {}
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _HealthWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for process in self._lab.processes():
                if not process.healthy:
                    self.unwell.setdefault(process.name, time.monotonic() - self._started)


def inflict(lab: Lab, traffic: Traffic, fault: Fault, rng: random.Random, started: float) -> Inflicted:
    """Do one harm and wait until the supervisors call everything healthy again.

    Raises:
        LabError: if the stack does not heal.
    """
    at = time.monotonic()
    with _HealthWatch(lab) as watch:
        evidence = fault.inflict(lab, traffic, rng)
        time.sleep(0.5)
        lab.wait(f"healed after {fault.name}", lambda: all(p.healthy for p in lab.processes()), _HEAL_SECONDS)
    told = None if fault.victim is None else watch.unwell.get(fault.victim, _TRUTH_SECONDS + 1) <= _TRUTH_SECONDS
    return Inflicted(fault.name, evidence, at - started, told, time.monotonic() - at)


def drained(lab: Lab, patience_seconds: float = 120.0) -> tuple[list[Stored], list[Stored]]:
    """All events and pages, once the workers' group has committed everything.

    Raises:
        LabError: if that does not come to pass.
    """
    settings = lab.settings
    lab.wait("everything is committed", lambda: lag(settings.kafka, settings.worker.group, EVENTS) == 0, patience_seconds)
    return read_topic(settings.kafka, EVENTS), read_topic(settings.kafka, PAGES)


def run(
    seconds: float,
    seed: int,
    faults: Sequence[Fault] = FAULTS,
    rate: float = 60.0,
    most: int | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Traffic for `seconds`, faults with 2–6 s between them, then quiet, then the laws.

    Args:
        seconds: how long faults are inflicted; at least one of each kind where time allows.
        seed: of traffic, order and gaps.
        faults: kinds to draw from, each once before any comes twice.
        rate: events a second.
        most: stop after this many faults.
        tell: receives a line for each fault.
    """
    rng = random.Random(seed)
    with Lab() as lab:
        started = time.monotonic()
        outcome = Outcome(seed, seconds, 0)
        queue: list[Fault] = []
        with Traffic(lab.settings, rate, seed) as traffic:
            while time.monotonic() - started < seconds and (most is None or len(outcome.faults) < most):
                time.sleep(rng.uniform(2.0, 6.0))
                queue = queue or rng.sample(list(faults), len(faults))
                fault = queue.pop()
                outcome.faults.append(inflict(lab, traffic, fault, rng, started))
                tell(f"{outcome.faults[-1].name}: {outcome.faults[-1].evidence or 'DID NOT HAPPEN'}")
        outcome.sent = traffic.sent
        events, pages = drained(lab)
        outcome.report = check(lab.settings, events, pages, asyncio.run(oracle(lab.settings, events)))
        outcome.staleness_ms = staleness(pages)
        outcome.seconds = time.monotonic() - started
    return outcome


def staleness(pages: Sequence[Stored]) -> dict[str, float]:
    """Milliseconds from event to page over all pages, faults included."""
    ages = sorted(msgspec.json.decode(page.value)["latency_ms"]["event_to_emit"] for page in pages if page.value)
    if len(ages) < 100:
        return {}
    cuts = statistics.quantiles(ages, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": ages[-1]}

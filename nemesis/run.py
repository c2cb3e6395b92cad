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
from nemesis import figures
from nemesis.checker import Report, check, oracle
from nemesis.faults import Fault
from nemesis.kinds import FAULTS_OF_ONE
from nemesis.lab import Lab
from nemesis.topic import Stored, lag, read_topic
from nemesis.workload import Traffic

_HEAL_SECONDS = 90.0
_TRUTH_SECONDS = 5.0
_CALM_SECONDS = 4.0


@dataclass
class Inflicted:
    """One fault of a run.

    Attributes:
        name: the kind.
        evidence: that it happened; empty for none.
        at_seconds: from the start of the run.
        at_ms: wall clock.
        until_ms: wall clock when everything was healthy again.
        health_told: whether the supervisor's status turned bad within 5 s; None where nothing should.
        heal_seconds: until the supervisors called everything healthy.
        recovery_seconds: from the beginning of the fault until every partition had a full page for an event that arrived
            after that beginning; so a pause counts with its length, and in a calm stack it is about a second.
        staleness_ms: greatest age of an event when its page was made.
        repeated_pages: pages on the wire for a source that already had one.
        degraded_pages: pages flagged `degraded`, those of fewer candidates included.
        lost: events without a page, of those that arrived meanwhile.
    """

    name: str
    evidence: str
    at_seconds: float
    at_ms: int
    until_ms: int
    health_told: bool | None
    heal_seconds: float
    recovery_seconds: float | None = None
    staleness_ms: float = 0.0
    repeated_pages: int = 0
    degraded_pages: int = 0
    lost: int = 0


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
    at, at_ms = time.monotonic(), int(time.time() * 1000)
    with _HealthWatch(lab) as watch:
        evidence = fault.inflict(lab, traffic, rng)
        time.sleep(0.5)
        lab.wait(f"healed after {fault.name}", lambda: all(p.healthy for p in lab.processes()), _HEAL_SECONDS)
    told = None if fault.victim is None else watch.unwell.get(fault.victim, _TRUTH_SECONDS + 1) <= _TRUTH_SECONDS
    until_ms = int(time.time() * 1000)
    return Inflicted(fault.name, evidence, at - started, at_ms, until_ms, told, time.monotonic() - at)


def drained(lab: Lab, patience_seconds: float = 120.0) -> tuple[list[Stored], list[Stored]]:
    """All events and pages, once the workers' group has committed everything.

    Raises:
        LabError: if that does not come to pass.
    """
    settings = lab.settings
    lab.wait("everything is committed", lambda: lag(settings.kafka, settings.worker.group, EVENTS) == 0, patience_seconds)
    return read_topic(settings.kafka, EVENTS), read_topic(settings.kafka, PAGES)


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        seconds: how long faults are inflicted; one that has begun is finished.
        seed: of traffic, order and gaps.
        faults: kinds to draw from, each once before any comes twice.
        rate: events a second.
        most: stop after this many faults.
        nodes: brokers, 1 or 3.
    """

    seconds: float
    seed: int
    faults: Sequence[Fault] = FAULTS_OF_ONE
    rate: float = 60.0
    most: int | None = None
    nodes: int = 1


def run(plan: Plan, tell: Callable[[str], object] = lambda _: None) -> Outcome:
    """Traffic, faults with 2–6 s between them, then quiet, then the laws.

    Args:
        plan: what to do.
        tell: receives a line for each fault.

    Raises:
        LabError: the stack did not come up, or did not heal.
    """
    rng = random.Random(plan.seed)
    with Lab(nodes=plan.nodes, gateway=True) as lab:
        started = time.monotonic()
        outcome = Outcome(plan.seed, plan.seconds, 0)
        queue: list[Fault] = []
        with Traffic(lab.settings, plan.rate, plan.seed) as traffic:
            traffic.remembers = True
            while time.monotonic() - started < plan.seconds and (plan.most is None or len(outcome.faults) < plan.most):
                time.sleep(rng.uniform(2.0, 6.0))
                queue = queue or rng.sample(list(plan.faults), len(plan.faults))
                fault = queue.pop()
                outcome.faults.append(inflict(lab, traffic, fault, rng, started))
                tell(f"{outcome.faults[-1].name}: {outcome.faults[-1].evidence or 'DID NOT HAPPEN'}")
            time.sleep(_CALM_SECONDS)  # so that the last sessions are made by a healthy stack too
        outcome.sent = traffic.sent
        events, pages = drained(lab)
        expected = asyncio.run(oracle(lab.settings, events))
        outcome.report = check(lab.settings, events, pages, expected)
        events = list(traffic.missing(events))
        outcome.report.violations += [f"law 0: the broker lost the event {place} that it had acknowledged"
                                      for place in sorted(traffic.acknowledged)]  # fmt: skip
        outcome.staleness_ms = staleness(pages)
        figures.add(outcome.faults, events, pages, expected)
        outcome.seconds = time.monotonic() - started
    return outcome


def staleness(pages: Sequence[Stored]) -> dict[str, float]:
    """Milliseconds from event to page over all pages, faults included."""
    ages = sorted(msgspec.json.decode(page.value)["latency_ms"]["event_to_emit"] for page in pages if page.value)
    if len(ages) < 100:
        return {}
    cuts = statistics.quantiles(ages, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": ages[-1]}

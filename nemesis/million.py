"""A million events under kill -9: rounds on one stack that lives on, each checked in full before the next begins.

A round is traffic, kills spread evenly over it, and a word on all laws when everything is done. The summary is written after
every round, so that a run which is interrupted goes on, with a new stack, where the last whole round ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError
from contracts.topics import DEAD_LETTERS, EVENTS, PAGES
from nemesis.checker import Expected, Place, Report, check_page, oracle
from nemesis.faults import Fault, kill, kill_stub
from nemesis.lab import Lab
from nemesis.ledger import Ledger
from nemesis.run import Inflicted, inflict
from nemesis.topic import Stored, lag, records_of
from nemesis.workload import Traffic

KILLS: tuple[Fault, ...] = (
    Fault("kill -9 worker-0", kill("worker-0"), "worker-0"),
    Fault("kill -9 worker-1", kill("worker-1"), "worker-1"),
    Fault("kill -9 triton", kill("triton"), "triton"),
    Fault("kill -9 stub of page_ranker", kill_stub, "triton"),
    Fault("kill -9 broker", kill("kafka"), "kafka"),
)
_COUNTS = ("events", "good", "duplicates", "dead", "dead_letters", "pages", "repeated_pages", "repeated_identical",
           "degraded_pages", "lost", "visible_duplicates", "backwards", "violation_count")  # fmt: skip


@dataclass(frozen=True)
class Million:
    """What is to be done in all.

    Attributes:
        events: at least so many.
        kills: at least so many, drawn so that each kind comes as often as the others.
        rate: events a second while traffic runs.
        round_events: events between two checks.
        visitors: who take part.
        sample: visitors whose pages are also compared in content, each event ranked alone.
        seed: of traffic and kills.
    """

    events: int = 1_000_000
    kills: int = 50
    rate: float = 400.0
    round_events: int = 50_000
    visitors: int = 2_000
    sample: int = 10
    seed: int = 1

    @property
    def kills_a_round(self) -> int:
        """So many that the rounds together have at least `kills`."""
        rounds = -(-self.events // self.round_events)
        return -(-self.kills // rounds)


@dataclass
class Round:
    """One round; the counts are of this round alone.

    Attributes:
        traffic_seconds: until everything sent was processed and committed, kills included.
        checking_seconds: the laws.
        checked_content: pages of the sample compared in content.
        peak_mb: greatest resident memory of this process so far.
        counts: of `nemesis.ledger.Tally`.
    """

    seed: int
    stack: str
    at: str
    traffic_seconds: float
    checking_seconds: float
    checked_content: int
    peak_mb: float
    counts: dict[str, int]
    violations: list[str]
    kills: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether every kill really happened."""
        return all(one["evidence"] for one in self.kills)


class Stretch:
    """The rounds on one stack.

    Args:
        plan: what is to be done in all.
        lab: the stack.
        name: tells this stack from others in the summary.
        first: number of the first event.
    """

    def __init__(self, plan: Million, lab: Lab, name: str, first: int) -> None:
        self._plan, self._lab, self._name, self._sent = plan, lab, name, first
        self._ledger = Ledger(lab.settings.session)
        self._expected = Expected({}, {}, set(), 0)
        self._read: dict[str, dict[int, int]] = {name: {} for name in (EVENTS, PAGES, DEAD_LETTERS, self._changelog)}
        self._before = dict.fromkeys(_COUNTS, 0)
        self._told = 0
        self._sender: Traffic | None = None

    @property
    def _changelog(self) -> str:
        return f"{self._lab.settings.worker.group}-sessions-changelog"

    def round(self, seed: int, kills: list[Fault], tell: Callable[[str], object]) -> Round:
        """Traffic under kills, then the laws.

        Raises:
            LabError: the stack did not heal, or did not finish its work.
        """
        began = time.monotonic()
        inflicted = self._traffic(seed, kills, tell)
        settings = self._lab.settings
        patience = 180.0 + self._plan.round_events / 50
        self._lab.wait("all is committed", lambda: lag(settings.kafka, settings.worker.group, EVENTS) == 0, patience)
        done = time.monotonic()
        checked = self._check()
        tally = self._ledger.close().summary()
        counts = {name: tally[name] - self._before[name] for name in _COUNTS}
        self._before, new = {name: tally[name] for name in _COUNTS}, tally["violations"][self._told :]
        self._told = len(tally["violations"])
        at = datetime.now(UTC).isoformat(timespec="seconds")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = (round(done - began, 1), round(time.monotonic() - done, 1))
        return Round(seed, self._name, at, *seconds, checked, round(peak, 1), counts, new, [asdict(one) for one in inflicted])

    def _traffic(self, seed: int, kills: list[Fault], tell: Callable[[str], object]) -> list[Inflicted]:
        plan, rng, inflicted = self._plan, random.Random(seed), []
        started = time.monotonic()
        traffic = Traffic(self._lab.settings, plan.rate, seed, visitors=plan.visitors)
        traffic.remembers, self._sender = True, traffic
        traffic.first = self._sent
        with traffic:
            for number, fault in enumerate(kills, 1):
                share = (number - rng.random()) / len(kills)  # anywhere in its part of the round
                _until(traffic, int(plan.round_events * share * 0.95))
                inflicted.append(inflict(self._lab, traffic, fault, rng, started))
                tell(f"  event {traffic.first + traffic.sent}: {fault.name}: {inflicted[-1].evidence or 'DID NOT HAPPEN'}")
            _until(traffic, plan.round_events)
        self._sent += traffic.sent
        return inflicted

    def _check(self) -> int:
        kafka, sampled = self._lab.settings.kafka, _Sample(self._plan)
        records = records_of(kafka, EVENTS, self._read[EVENTS])
        if self._sender is not None:
            records = self._sender.missing(records)
        self._ledger.take_events(sampled.events(records))
        for place in sorted(self._sender.acknowledged if self._sender is not None else ()):
            self._ledger.tally.violated(f"law 0: the broker lost the event {place} that it had acknowledged")
        self._ledger.take_pages(sampled.pages(records_of(kafka, PAGES, self._read[PAGES])))
        self._ledger.take_dead_letters(records_of(kafka, DEAD_LETTERS, self._read[DEAD_LETTERS]))
        self._ledger.take_changelog(records_of(kafka, self._changelog, self._read[self._changelog]))
        self._expected.pages.clear()
        asyncio.run(oracle(self._lab.settings, sampled.held_events, self._expected))
        report = Report()
        seen: dict[Place, dict[str, Any]] = {}
        for record in sampled.held_pages:
            check_page(report, record, self._expected, seen)
        for words in report.violations:
            self._ledger.tally.violated(words)
        return len(sampled.held_pages)


class _Sample:
    """Lets records pass and keeps those of the visitors whose pages are compared in content."""

    def __init__(self, plan: Million) -> None:
        every = max(1, plan.visitors // max(1, plan.sample))
        self._keys = {f"default|v{number}".encode() for number in range(0, plan.visitors, every)} if plan.sample else set()
        self.held_events: list[Stored] = []
        self.held_pages: list[Stored] = []

    def events(self, records: Iterable[Stored]) -> Iterator[Stored]:
        """Keep the sample's events."""
        for record in records:
            if record.key in self._keys:
                self.held_events.append(record)
            yield record

    def pages(self, records: Iterable[Stored]) -> Iterator[Stored]:
        """Keep the sample's pages."""
        for record in records:
            if record.key in self._keys and record.value is not None:
                self.held_pages.append(record)
            yield record


def _until(traffic: Traffic, sent: int) -> None:
    while traffic.sent < sent and traffic.is_running:
        time.sleep(0.02)


def run(plan: Million, file: Path | None, tell: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """All rounds that the file does not hold yet; the summary of all.

    Raises:
        ConfigurationError: the file is of another plan.
        LabError: the stack did not come up, or did not heal.
    """
    rounds = _rounds_of(file, plan)
    wanted = -(-plan.events // plan.round_events)
    if len(rounds) >= wanted:
        return summary_of(plan, rounds)
    name = datetime.now(UTC).isoformat(timespec="seconds")
    queue: list[Fault] = []
    with Lab(gateway=False) as lab:
        stretch = Stretch(plan, lab, name, first=sum(one.counts["events"] for one in rounds))
        while len(rounds) < wanted:
            seed = plan.seed + len(rounds)
            chosen: list[Fault] = []
            while len(chosen) < plan.kills_a_round:
                queue = queue or random.Random(seed).sample(KILLS, len(KILLS))
                chosen.append(queue.pop())
            rounds.append(stretch.round(seed, chosen, tell))
            summary = summary_of(plan, rounds)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(summary, indent=1) + "\n")
            tell(in_words(summary))
    return summary_of(plan, rounds)


def _rounds_of(file: Path | None, plan: Million) -> list[Round]:
    if file is None or not file.exists():
        return []
    held = json.loads(file.read_text())
    if held["plan"] != asdict(plan):
        message = f"--out: {file} holds rounds of another plan, {held['plan']}; expected {asdict(plan)}: name another file"
        raise ConfigurationError(message)
    return [Round(**one) for one in held["rounds"]]


def summary_of(plan: Million, rounds: list[Round]) -> dict[str, Any]:
    """Counts over all rounds, how fast it goes, and the rounds themselves."""
    counts = {name: sum(one.counts[name] for one in rounds) for name in _COUNTS}
    traffic, checking = sum(one.traffic_seconds for one in rounds), sum(one.checking_seconds for one in rounds)
    kills: dict[str, int] = {}
    for one in rounds:
        for fault in one.kills:
            kills[fault["name"]] = kills.get(fault["name"], 0) + bool(fault["evidence"])
    left = max(0, plan.events - counts["events"])
    pace = counts["events"] / (traffic + checking) if rounds else 0.0
    return {
        "plan": asdict(plan),
        "counts": counts,
        "kills": kills,
        "kill_count": sum(kills.values()),
        "stacks": len({one.stack for one in rounds}),
        "checked_content": sum(one.checked_content for one in rounds),
        "traffic_seconds": round(traffic, 1),
        "checking_seconds": round(checking, 1),
        "checked_events_per_second": round(counts["events"] / checking, 1) if checking else None,
        "seconds_left": round(left / pace) if pace else None,
        "peak_mb": max((one.peak_mb for one in rounds), default=0.0),
        "valid": all(one.is_valid for one in rounds),
        "done": counts["events"] >= plan.events and sum(kills.values()) >= plan.kills,
        "laws_hold": counts["violation_count"] == 0,
        "violations": [words for one in rounds for words in one.violations],
        "rounds": [asdict(one) for one in rounds],
    }


def in_words(summary: dict[str, Any]) -> str:
    """The summary for people, one line."""
    count = summary["counts"]
    left = f"; about {summary['seconds_left'] / 60:.0f} min left" if summary["seconds_left"] else ""
    return (
        f"{count['events']} events and {summary['kill_count']} kill -9: {count['lost']} lost, "
        f"{count['visible_duplicates']} shown twice, {count['backwards']} shown backwards, {count['violation_count']} "
        f"violations ({count['repeated_pages']} pages repeated on the wire, {summary['checked_content']} compared in content, "
        f"{summary['peak_mb']:.0f} MB){left}"
    )

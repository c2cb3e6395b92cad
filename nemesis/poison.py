"""Mutated payloads in the real stack, between healthy traffic: nothing crashes or stands still, and everything adds up.

First three kinds of windows take turns, so that all see the same machine: healthy traffic alone, with as many poisoned values
beside it, and with as many healthy events of others beside it, which tells what any traffic of that rate costs. Then the rest
of the poison comes as a flood, many times the healthy traffic.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from kafka import KafkaProducer

from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, EVENTS, PAGES
from nemesis.accounting import Account, equation, quantiles, settle
from nemesis.lab import Lab
from nemesis.mutation import SEEDS, mutated
from nemesis.topic import Stored, lag, read_topic
from nemesis.workload import Traffic

_VISITORS = 40
_WARM_SECONDS = 8.0
_WINDOW_SECONDS, _WINDOWS = 8.0, 16
_OTHERS = "other-"
_FIRST_OF_OTHERS = 1_000_000_000  # so that no event id comes twice
STALL_SECONDS = 5.0


@dataclass(frozen=True)
class Poisoning:
    """Outcome.

    Attributes:
        payloads: mutated values sent.
        good_payloads: of those, the ones that are events all the same.
        healthy_rate: healthy events a second, all the time; in every second window as many mutated ones.
        flood_rate: mutated values a second afterwards, as they were really sent.
        crashes: workers that are another process than before.
        longest_wait_seconds: of any healthy event for its page.
        calm_ms: event to page of healthy events in windows without poison.
        poisoned_ms: the same in windows with poison.
        doubled_ms: the same in windows with as many healthy events of other visitors.
        flood_ms: the same during the flood.
        p99_rise: p99 in windows with poison over p99 in those without, minus 1; the broker's clock counts whole milliseconds.
        p99_rise_of_healthy: p99 in windows with others' healthy events over p99 in those without, minus 1.
        codes: dead letters by reason.
        account: in, processed (coalesced included), duplicate, dead-lettered, and what does not add up.
    """

    payloads: int
    good_payloads: int
    healthy_rate: float
    flood_rate: float
    crashes: int
    longest_wait_seconds: float
    calm_ms: dict[str, float]
    poisoned_ms: dict[str, float]
    doubled_ms: dict[str, float]
    flood_ms: dict[str, float]
    p99_rise: float
    p99_rise_of_healthy: float
    codes: dict[str, int]
    account: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether nothing crashed, nothing stood still and everything is accounted for; the rise is judged by the reader."""
        return self.crashes == 0 and self.longest_wait_seconds < STALL_SECONDS and bool(self.account["exact"])

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


class _Poisoner:
    """Sends mutated payloads under the keys of visitors of its own, at a rate."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._topic = settings.kafka.topic_prefix + EVENTS
        self._producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all", linger_ms=5)
        self._rng = random.Random(seed)
        self.sent = 0

    def send(self, count: int, rate: float) -> None:
        """Send so many, evenly."""
        due = time.monotonic()
        for _ in range(count):
            visitor = f"p{self._rng.randrange(_VISITORS)}"
            seed = self._rng.choice(SEEDS)
            for name in (b'"v1"', b'"v2"', b'"v3"'):
                seed = seed.replace(name, f'"{visitor}"'.encode())
            self._producer.send(self._topic, mutated(self._rng, seed), key=message_key("default", visitor))
            self.sent += 1
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        self._producer.flush()

    def close(self) -> None:
        """Disconnect."""
        self._producer.close()


class _Others:
    """Healthy events of other visitors for the length of a window."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._sent = settings, 0

    def send(self, rate: float) -> None:
        """Send at this rate for a window."""
        traffic = Traffic(self._settings, rate, seed=9 + self._sent, poison=0.0)
        traffic.crowd, traffic.first = _OTHERS, _FIRST_OF_OTHERS + self._sent
        with traffic:
            time.sleep(_WINDOW_SECONDS)
        self._sent += traffic.sent


def poisoning(
    lab: Lab, count: int, rate: float = 40.0, flood_rate: float = 1500.0, tell: Callable[[str], object] = lambda _: None
) -> Poisoning:
    """Healthy traffic all the time, and `count` mutated payloads: some of them side by side, the others as a flood.

    Raises:
        LabError: the workers did not finish within five minutes afterwards.
    """
    settings = lab.settings
    before = {name: lab.pid(name) for name in ("worker-0", "worker-1")}
    poisoner, others = _Poisoner(settings, seed=8), _Others(settings)
    windows = _Windows()
    with Traffic(settings, rate, seed=7, poison=0.0) as traffic:
        time.sleep(_WARM_SECONDS)
        for _ in range(_WINDOWS):
            windows.during("calm", lambda: time.sleep(_WINDOW_SECONDS))
            windows.during("poisoned", lambda: poisoner.send(round(_WINDOW_SECONDS * rate), rate))
            windows.during("doubled", lambda: others.send(rate))
            tell(f"{poisoner.sent} of {count} payloads, {traffic.sent} healthy events")
        rest, began = count - poisoner.sent, time.monotonic()
        windows.during("flood", lambda: poisoner.send(rest, flood_rate))
        flood_seconds = time.monotonic() - began
        tell(f"{poisoner.sent} of {count} payloads, {traffic.sent} healthy events")
    poisoner.close()
    group = settings.worker.group
    lab.wait("everything is committed", lambda: lag(settings.kafka, group, EVENTS) == 0, 300)
    events, dead = read_topic(settings.kafka, EVENTS), read_topic(settings.kafka, DEAD_LETTERS)
    account = settle(settings, events, read_topic(settings.kafka, PAGES), dead)
    waits = windows.waits(account, events)
    calm, poisoned, doubled = waits["calm"], waits["poisoned"], waits["doubled"]
    healthy = (account.waits.get((r.partition, r.offset), 0) for r in events if not _is_poisoner(r))
    return Poisoning(
        payloads=poisoner.sent,
        good_payloads=sum(_is_poisoner(record) for record in events) - account.dead_letters,
        healthy_rate=rate,
        flood_rate=round(rest / flood_seconds, 1),
        crashes=sum(lab.pid(name) != pid for name, pid in before.items() if pid is not None),
        longest_wait_seconds=max(healthy, default=0) / 1000,
        calm_ms=calm,
        poisoned_ms=poisoned,
        doubled_ms=doubled,
        flood_ms=waits["flood"],
        p99_rise=_rise(calm, poisoned),
        p99_rise_of_healthy=_rise(calm, doubled),
        codes=dict(Counter(dict(record.headers)["dlq.error.code"].decode() for record in dead)),
        account=equation(account),
    )


def _is_poisoner(record: Stored) -> bool:
    return record.key.startswith(b"default|p")


def _is_others(record: Stored) -> bool:
    return record.key.startswith(f"default|v{_OTHERS}".encode())


def _rise(calm: dict[str, float], stirred: dict[str, float]) -> float:
    return round(stirred["p99"] / calm["p99"] - 1, 3) if calm and stirred else float("nan")


class _Windows:
    """Times on the wall clock, by what was going on."""

    def __init__(self) -> None:
        self._windows: list[tuple[int, int, str]] = []

    def during(self, kind: str, act: Callable[[], object]) -> None:
        """Do it, and note from when to when."""
        began = int(time.time() * 1000)
        act()
        self._windows.append((began, int(time.time() * 1000), kind))

    def waits(self, account: Account, events: list[Stored]) -> dict[str, dict[str, float]]:
        """Quantiles of the waits of healthy events that arrived in the windows of each kind."""
        found: dict[str, list[float]] = {kind: [] for _, _, kind in self._windows}
        for record in events:
            wait = account.waits.get((record.partition, record.offset))
            if wait is None or _is_poisoner(record) or _is_others(record):
                continue
            for began, ended, kind in self._windows:
                if began <= record.timestamp < ended:
                    found[kind].append(wait)
        return {kind: quantiles(waits) for kind, waits in found.items()}

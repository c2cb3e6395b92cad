"""A tenfold burst for a minute: how stale pages get, how soon the backlog is gone, and whether everything adds up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from contracts.topics import DEAD_LETTERS, EVENTS, PAGES
from nemesis.accounting import equation, quantiles, settle
from nemesis.lab import Lab
from nemesis.topic import lag, read_topic
from nemesis.workload import Traffic

_CALM_SECONDS = 10.0
STALENESS_MS, DRAIN_SECONDS = 1000.0, 60.0


@dataclass(frozen=True)
class Overload:
    """Outcome.

    Attributes:
        base_rate: events a second before and after.
        burst_rate: events a second that were really sent during the burst.
        burst_seconds: how long it was.
        calm_ms: event to page before the burst.
        burst_ms: event to page of the events that arrived during the burst.
        drain_seconds: from the end of all traffic until the workers had committed everything.
        pages_for_burst: pages whose newest event arrived during the burst: the fewer, the more events shared one.
        events_in_burst: good events that arrived then.
        degraded_pages: pages of those by a lower rung of the ladder.
        account: in, processed (coalesced included), duplicate, dead-lettered, and what does not add up.
    """

    base_rate: float
    burst_rate: float
    burst_seconds: float
    calm_ms: dict[str, float]
    burst_ms: dict[str, float]
    drain_seconds: float
    pages_for_burst: int
    events_in_burst: int
    degraded_pages: int
    account: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether the promise was kept: p99 below a second, drained within a minute, nothing lost."""
        is_fresh = self.burst_ms.get("p99", float("inf")) < STALENESS_MS
        return is_fresh and self.drain_seconds < DRAIN_SECONDS and bool(self.account["exact"])

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


def overload(lab: Lab, rate: float, factor: float, seconds: float, tell: Callable[[str], object] = lambda _: None) -> Overload:
    """Calm traffic, the burst, and silence until everything is done.

    Raises:
        LabError: the backlog did not drain within five minutes.
    """
    settings = lab.settings
    with Traffic(settings, rate, seed=6, visitors=400, poison=0.01) as traffic:
        time.sleep(_CALM_SECONDS)
        tell(f"{traffic.sent} events in {_CALM_SECONDS:.0f} s of calm")
        before, began = traffic.sent, int(time.time() * 1000)
        traffic.rate = rate * factor
        time.sleep(seconds)
        sent, ended = traffic.sent - before, int(time.time() * 1000)
        traffic.rate = rate
    stopped = time.monotonic()
    tell(f"{sent} events in {seconds:.0f} s of burst")
    group = settings.worker.group
    lab.wait("everything is committed", lambda: lag(settings.kafka, group, EVENTS) == 0, 300)
    drained = time.monotonic() - stopped
    events, pages = read_topic(settings.kafka, EVENTS), read_topic(settings.kafka, PAGES)
    account = settle(settings, events, pages, read_topic(settings.kafka, DEAD_LETTERS))
    arrived = {(record.partition, record.offset): record.timestamp for record in events}
    calm = [wait for place, wait in account.waits.items() if arrived[place] < began]
    burst = {place: wait for place, wait in account.waits.items() if began <= arrived[place] <= ended}
    made = [page for page in (_source(record.value) for record in pages if record.value) if page[0] in burst]
    return Overload(
        base_rate=rate,
        burst_rate=round(sent / seconds, 1),
        burst_seconds=seconds,
        calm_ms=quantiles(calm),
        burst_ms=quantiles(burst.values()),
        drain_seconds=round(drained, 2),
        pages_for_burst=len({place for place, _ in made}),
        events_in_burst=len(burst),
        degraded_pages=sum(is_degraded for _, is_degraded in made),
        account=equation(account),
    )


def _source(value: bytes) -> tuple[tuple[int, int], bool]:
    page = msgspec.json.decode(value)
    return (page["source"]["partition"], page["source"]["offset"]), page["degraded"]

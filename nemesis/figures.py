"""What each fault cost, read from the topics after the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from nemesis.checker import Expected
from nemesis.topic import Stored

if TYPE_CHECKING:
    from nemesis.run import Inflicted


@dataclass(frozen=True, slots=True)
class _Page:
    key: bytes
    partition: int
    offset: int
    generated: int
    arrived: int
    age_ms: float
    is_fallback: bool
    is_repeated: bool


def _read(pages: Sequence[Stored], arrivals: dict[tuple[int, int], int]) -> list[_Page]:
    seen: set[tuple[bytes, int, int]] = set()
    found = []
    for record in pages:
        if record.value is None:
            continue
        page = msgspec.json.decode(record.value)
        partition, offset = page["source"]["partition"], page["source"]["offset"]
        place = (record.key, partition, offset)
        arrived = arrivals.get((partition, offset), 0)
        age, generated = page["latency_ms"]["event_to_emit"], page["generated_time"]
        is_fallback = page["degraded"] and page.get("fallback_reason") != "triton_slow"  # then the ranker has answered
        found.append(_Page(*place, generated, arrived, age, is_fallback, place in seen))
        seen.add(place)
    return sorted(found, key=lambda page: page.generated)


def add(faults: Sequence[Inflicted], events: Sequence[Stored], pages: Sequence[Stored], expected: Expected) -> None:
    """Fill in the figures of every fault; `events` and `pages` are whole topics."""
    arrivals = {(record.partition, record.offset): record.timestamp for record in events}
    made = _read(pages, arrivals)
    newest: dict[bytes, int] = defaultdict(lambda: -1)
    for page in made:
        newest[page.key] = max(newest[page.key], page.offset)
    lost = [arrivals[partition, offset] for key, partition, offset in expected.pages if newest[key] < offset]
    busy = {record.partition for record in events}
    for fault in faults:
        within = [page for page in made if fault.at_ms <= page.generated <= fault.until_ms]
        fault.recovery_seconds = _recovery(fault.at_ms, made, busy)
        fault.staleness_ms = max((page.age_ms for page in within), default=0.0)
        fault.repeated_pages = sum(page.is_repeated for page in within)
        fault.degraded_pages = sum(page.is_fallback for page in within)
        fault.lost = sum(fault.at_ms <= arrived <= fault.until_ms for arrived in lost)


def _recovery(at_ms: int, made: Sequence[_Page], busy: set[int]) -> float | None:
    """Seconds until each partition had a full page for an event that arrived since; None if one never had."""
    waiting = set(busy)
    for page in made:
        if page.arrived >= at_ms and not page.is_fallback:
            waiting.discard(page.partition)
            if not waiting:
                return (page.generated - at_ms) / 1000
    return None

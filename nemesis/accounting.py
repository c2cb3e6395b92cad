"""Where every event went, by folding the topic again without a ranker, and how long each waited for its page."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, EVENTS
from nemesis.letters import Letters
from nemesis.topic import Stored
from streams.batch import Incoming, fold
from streams.sessions import SessionState

Place = tuple[int, int]  # partition, offset


@dataclass
class Account:
    """What became of the events of a topic.

    Attributes:
        events: how many there are.
        processed: good ones that a page of their visitor, or a newer one, answers; coalesced ones included.
        duplicates: recognised by their id.
        dead_letters: in the dead-letter topic, each counted once.
        violations: what does not add up, in words.
        waits: milliseconds from the broker's time of each good event to the first page that answers it, by place.
    """

    events: int
    processed: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    violations: list[str] = field(default_factory=list)
    waits: dict[Place, int] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Whether in = processed + coalesced + duplicate + dead-lettered, and each lies where it belongs."""
        return not self.violations and self.events == self.processed + self.duplicates + self.dead_letters


class _Pages:
    """When a visitor's events were answered."""

    def __init__(self, pages: Sequence[Stored]) -> None:
        made: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
        for record in pages:
            if record.value is not None:
                page = msgspec.json.decode(record.value)
                made[record.key].append((page["source"]["offset"], page["generated_time"]))
        self._offsets: dict[bytes, list[int]] = {}
        self._earliest: dict[bytes, list[int]] = {}
        for key, of_key in made.items():
            of_key.sort()
            earliest = [generated for _, generated in of_key]
            for place in range(len(earliest) - 2, -1, -1):
                earliest[place] = min(earliest[place], earliest[place + 1])
            self._offsets[key], self._earliest[key] = [offset for offset, _ in of_key], earliest

    def answered(self, key: bytes, offset: int) -> int | None:
        """Wall clock (ms) of the first page of this or a newer event; None if there is none."""
        place = bisect_left(self._offsets.get(key, []), offset)
        return self._earliest[key][place] if place < len(self._offsets.get(key, [])) else None


def settle(settings: Settings, events: Sequence[Stored], pages: Sequence[Stored], dead: Sequence[Stored]) -> Account:
    """Compare what the workers wrote with what folding the events one by one says of each.

    Args:
        settings: of the stack.
        events: the whole events topic.
        pages: the whole page topic.
        dead: the whole dead-letter topic.
    """
    account, answers = Account(len(events)), _Pages(pages)
    letters = Letters()
    for record in dead:
        letters.take(record)
    states: dict[bytes, SessionState] = {}
    for record in sorted(events, key=lambda r: (r.partition, r.offset)):
        place = (record.partition, record.offset)
        incoming = Incoming(*place, record.key, record.value, record.timestamp, record.headers)
        batch = fold([incoming], states.get, settings.session, events_topic=EVENTS, dead_letter_topic=DEAD_LETTERS)
        for key, visit in batch.visits.items():
            if visit.is_stored:
                states[key] = visit.state
            else:
                states.pop(key, None)
        letters.expect(place, batch)
        if batch.dead:
            continue
        if batch.duplicates:
            account.duplicates += 1
            continue
        answered = answers.answered(record.key, record.offset)
        if answered is None:
            account.violations.append(f"no page answers {place} of {record.key!r}")
            continue
        account.processed += 1
        account.waits[place] = answered - record.timestamp
    account.dead_letters = letters.found
    account.violations += letters.violations()
    return account


def quantiles(waits: Collection[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum; empty for fewer than a hundred."""
    if len(waits) < 100:
        return {}
    cuts = statistics.quantiles(waits, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(waits), "count": len(waits)}


def equation(account: Account) -> dict[str, Any]:
    """For JSON: the equation, and the first things that do not add up."""
    return {
        "in": account.events,
        "processed_or_coalesced": account.processed,
        "duplicate": account.duplicates,
        "dead_letter": account.dead_letters,
        "exact": account.is_exact,
        "violations": account.violations[:20],
    }

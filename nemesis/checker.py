"""The laws that what was published must keep, checked against an oracle that folds one event after the other.

0. What the broker acknowledged is in the topic (`nemesis.workload.Traffic.missing`).
1. Every visitor's newest page answers the visitor's last good event.
2. As consumers show them, the pages of a visitor never go back.
3. Every page equals the oracle's for its source: always in identity and sequence; in content too, unless it is flagged
   as degraded or was made on another version of the item index or of what the ranker has learned from the stream.
4. Every event is in a page or a newer page of its visitor, or is a duplicate, or lies in the dead-letter topic once.
5. The final sessions equal the oracle's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from contracts.recommendations import TIME_FIELDS
from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, EVENTS, ITEM_EMBEDDINGS, PAGES
from monitoring.metrics import WorkerMetrics
from nemesis.letters import Letters
from nemesis.topic import Stored, keep_newest, read_topic
from streams.batch import Incoming, fold
from streams.inference import InferenceClient
from streams.items import ItemView
from streams.liveness import SystemClock
from streams.refresh import Refresher
from streams.sessions import SessionState, decode_state, without_encoder
from streams.triton import TritonRanker

Place = tuple[bytes, int, int]  # key, partition, offset
# What a degraded page, or one on another index or other knowledge, need not share with the oracle's.
_CONTENT_FIELDS = ("recommendation_id", "attribution_token", "placements", "model", "index_version",
                   "learned_version", "degraded", "fallback_reason", "missing_ids")  # fmt: skip

MADE_BY = ("model", "index_version", "learned_version")
"""Where these are the same, a full page that comes again has the same content."""


@dataclass
class Report:
    """Counts and every law that did not hold, in words."""

    events: int = 0
    processed_visible: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    pages: int = 0
    repeated_pages: int = 0
    repeated_identical: int = 0
    degraded_pages: int = 0
    compared_pages: int = 0
    """Pages whose content law 3 compared: neither degraded nor of other knowledge than the oracle's."""
    repeated_letters: int = 0
    older_last: int = 0
    """Visitors whose last page on the topic is not their newest: what compaction leaves to a consumer that comes later."""
    violations: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class Expected:
    """The oracle's word: pages and duplicates by place, final sessions, the index version it saw, and the dead letters."""

    pages: dict[Place, dict[str, Any]]
    states: dict[bytes, SessionState]
    duplicates: set[tuple[int, int]]
    index_version: int
    letters: Letters = field(default_factory=Letters)


def content(page: bytes) -> dict[str, Any]:
    """A page without its times."""
    decoded: dict[str, Any] = msgspec.json.decode(page)
    return {name: value for name, value in decoded.items() if name not in TIME_FIELDS}


async def oracle(settings: Settings, events: Sequence[Stored], before: Expected | None = None) -> Expected:
    """Fold and rank one event after the other through the same Triton.

    Args:
        settings: of the stack.
        events: in any order between partitions, every record of a visitor.
        before: what an earlier call returned, to go on from; it is changed.
    """
    view = ItemView()
    for record in read_topic(settings.kafka, ITEM_EMBEDDINGS):
        view.apply(record.key, record.value)
    client = InferenceClient(settings.triton.grpc_address)
    patient = settings.triton.model_copy(update={"ranker_deadline_ms": 20_000.0})
    refresher = Refresher(
        TritonRanker(client, patient),
        view,
        SystemClock(),
        settings.session,
        settings.page,
        PAGES,
        WorkerMetrics.create(CollectorRegistry()),
    )
    expected = before or Expected({}, {}, set(), 0)
    for record in sorted(events, key=lambda r: (r.partition, r.offset)):
        incoming = Incoming(record.partition, record.offset, record.key, record.value, record.timestamp, record.headers)
        batch = fold([incoming], expected.states.get, settings.session, events_topic=EVENTS, dead_letter_topic=DEAD_LETTERS)
        if batch.duplicates:
            expected.duplicates.add((record.partition, record.offset))
        expected.letters.expect((record.partition, record.offset), batch)
        for done in await refresher.refresh(batch, 0.0, dict.fromkeys(batch.visits, 0.0)):
            page = content(done.page.value or b"")
            expected.pages[done.key, record.partition, record.offset] = page
            expected.index_version = page["index_version"]
            if done.state is not None:
                expected.states[done.key] = done.state
    await client.close()
    return expected


def check_page(report: Report, record: Stored, expected: Expected, seen: dict[Place, dict[str, Any]]) -> Place:
    """Law 3 for one page, and whether it repeats one of `seen`, to which it is added; its place."""
    page = content(record.value or b"")
    place = (record.key, page["source"]["partition"], page["source"]["offset"])
    wanted = expected.pages.get(place)
    report.degraded_pages += page["degraded"]
    if wanted is None:
        report.violations.append(f"law 3: a page for {place}, where the oracle has none")
        return place
    versions = ("index_version", "learned_version")
    is_comparable = not page["degraded"] and all(page[name] == wanted[name] for name in versions)
    report.compared_pages += is_comparable
    wrong = [name for name in wanted if page[name] != wanted[name] and (is_comparable or name not in _CONTENT_FIELDS)]
    if wrong:
        seen_there = f"sequence {page['sequence']} of {wanted['sequence']}, made at {_generated(record)}"
        report.violations.append(f"law 3: the page for {place} differs from the oracle's in {wrong}; {seen_there}")
    if place in seen:
        report.repeated_pages += 1
        report.repeated_identical += page == seen[place]
        are_full = not page["degraded"] and not seen[place]["degraded"]
        if are_full and page != seen[place] and all(page[name] == seen[place][name] for name in MADE_BY):
            report.violations.append(f"law 3: the page for {place} came again with other content, made by the same versions")
    if not page["degraded"] or place not in seen or seen[place]["degraded"]:
        seen[place] = page
    return place


def _generated(record: Stored) -> int:
    return int(msgspec.json.decode(record.value or b"")["generated_time"])


def _check_states(report: Report, settings: Settings, expected: Expected) -> None:
    latest: dict[bytes, bytes | None] = {}
    keep_newest(latest, read_topic(settings.kafka, f"{settings.worker.group}-sessions-changelog"))
    for key, state in expected.states.items():
        value = latest.get(key)
        stored = decode_state(value) if value else None
        if stored != state and not _awaits_the_encoder(stored, state, settings.session.recent_events):
            names = [n for n in state.__struct_fields__ if stored is None or getattr(stored, n) != getattr(state, n)]
            report.violations.append(f"law 5: the session of {key!r} differs from the oracle's in {names}")


def _awaits_the_encoder(stored: SessionState | None, state: SessionState, touches: int) -> bool:
    """Whether the two differ only in what the encoder has seen, as a fallback page at the very end leaves it."""
    if stored is None or not stored.pending:
        return False
    ours, theirs = without_encoder(stored), without_encoder(state)
    return msgspec.structs.replace(ours, pending=ours.pending[-touches:]) == theirs


def check(settings: Settings, events: Sequence[Stored], pages: Sequence[Stored], expected: Expected) -> Report:
    """Check all laws; `events` and `pages` are whole topics, read when nothing was left to do."""
    report = Report(events=len(events), pages=len(pages), duplicates=len(expected.duplicates))
    newest: dict[bytes, int] = defaultdict(lambda: -1)
    on_top: dict[bytes, int] = {}
    seen: dict[Place, dict[str, Any]] = {}
    for record in pages:
        if record.value is None:
            continue
        place = check_page(report, record, expected, seen)
        newest[record.key] = max(newest[record.key], place[2])
        on_top[record.key] = place[2]
    report.older_last = sum(offset < newest[key] for key, offset in on_top.items())
    last: dict[bytes, int] = defaultdict(lambda: -1)
    for key, _, offset in expected.pages:
        last[key] = max(last[key], offset)
    late = [key for key, offset in last.items() if newest[key] < offset]
    report.violations += [f"law 1: {key!r} has no page for its last event" for key in late]
    report.processed_visible = sum(offset <= newest[key] for key, _, offset in expected.pages)
    for record in read_topic(settings.kafka, DEAD_LETTERS):
        expected.letters.take(record)
    report.dead_letters, report.repeated_letters = expected.letters.found, expected.letters.repeated
    report.violations += expected.letters.violations()
    total = report.processed_visible + report.duplicates + report.dead_letters
    if total != report.events:
        report.violations.append(f"law 4: {report.events} events in, {total} accounted for")
    _check_order(report, pages)
    _check_states(report, settings, expected)
    return report


def _check_order(report: Report, pages: Sequence[Stored]) -> None:
    """Law 2, by the very code that shops use."""
    from consumers.newest import NewestPages  # noqa: PLC0415 - the rest of the checker does without the client package

    shown: dict[bytes, int] = {}
    newest = NewestPages()
    for record in sorted(pages, key=lambda r: (r.partition, r.offset)):
        if record.value is None:
            continue
        source = content(record.value)["source"]
        if newest.accepts(record.key, source["partition"], source["offset"]):
            if source["offset"] <= shown.get(record.key, -1):
                report.violations.append(f"law 2: the page of {record.key!r} went back to {source}")
            shown[record.key] = source["offset"]

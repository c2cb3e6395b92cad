"""The laws of `nemesis.checker` for long runs, in bounded memory: a few bytes an event instead of pages and events.

Every event is folded, in order, by the code that the workers use, and every page, dead letter and changelog record is
compared with what that gives: who, which sequence, never back, nothing lost. What a page *shows* is compared for a sample of
the visitors only (`nemesis.million`), since it takes a call of the ranker for each event.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from consumers.newest import NewestPages
from contracts.recommendations import TIME_FIELDS
from contracts.settings import SessionSettings
from contracts.topics import DEAD_LETTERS, EVENTS
from nemesis.checker import MADE_BY
from nemesis.letters import Letters
from nemesis.topic import Stored, digest_of, keep_newest
from streams.batch import Incoming, fold
from streams.sessions import SessionState, decode_state, without_encoder

_MOST_WORDS = 100
_NO_PAGE = 0  # a duplicate, or a dead letter; sequences begin at 1


@dataclass
class Tally:
    """Counts of everything taken in so far, and the first violations in words.

    Attributes:
        events: records of the events topic.
        good: events that changed a session.
        duplicates: events that were known.
        dead: events that break the contract.
        dead_letters: distinct events that lie in the dead-letter topic.
        pages: records of the page topic.
        repeated_pages: pages for an event that had one.
        repeated_identical: of these, equal to the first but for the times.
        degraded_pages: pages flagged `degraded`, those of fewer candidates included.
        lost: good events without a page of their own or a newer one of their visitor, when everything was done.
        visible_duplicates: pages that consumers would have shown twice.
        backwards: pages that consumers would have shown although older than what they showed.
        violation_count: of all laws.
        violations: the first hundred, in words.
    """

    events: int = 0
    good: int = 0
    duplicates: int = 0
    dead: int = 0
    dead_letters: int = 0
    pages: int = 0
    repeated_pages: int = 0
    repeated_identical: int = 0
    degraded_pages: int = 0
    lost: int = 0
    visible_duplicates: int = 0
    backwards: int = 0
    violation_count: int = 0
    violations: list[str] = field(default_factory=list)

    def violated(self, words: str) -> None:
        """Note that a law did not hold."""
        self.violation_count += 1
        if len(self.violations) < _MOST_WORDS:
            self.violations.append(words)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class _Partition:
    """What is remembered of each event of a partition, by offset: 28 bytes.

    Attributes:
        sequences: that a page must have.
        owners: digest of the visitor.
        pages: digest of the page's content, 0 while there is none.
        made_by: digest of model and versions behind a full page, 0 for a degraded one.
    """

    sequences: array[int] = field(default_factory=lambda: array("I"))
    owners: array[int] = field(default_factory=lambda: array("Q"))
    pages: array[int] = field(default_factory=lambda: array("Q"))
    made_by: array[int] = field(default_factory=lambda: array("Q"))


class Ledger:
    """Takes in the topics piece by piece; at a moment when nothing was left to do, `close` gives the word.

    Args:
        settings: idle time and bounds of a session, as the workers have them.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._partitions: dict[int, _Partition] = defaultdict(_Partition)
        self._states: dict[bytes, SessionState] = {}
        self._last_good: dict[bytes, tuple[int, int]] = {}
        self._newest_page: dict[bytes, int] = {}
        self._shown: dict[bytes, int] = {}
        self._newest = NewestPages()
        self._letters = Letters()
        self._changelog: dict[bytes, bytes | None] = {}
        self.tally = Tally()

    def take_events(self, records: Iterable[Stored]) -> None:
        """Records of the events topic, in the order of their offsets in each partition.

        Raises:
            ValueError: an offset is missing or comes again: the reading was wrong, not the stack.
        """
        for record in records:
            partition = self._partitions[record.partition]
            if record.offset != len(partition.sequences):
                message = f"event {record.partition}:{record.offset} was read, expected offset {len(partition.sequences)}"
                raise ValueError(message)
            partition.sequences.append(self._fold(record))
            partition.owners.append(digest_of(record.key))
            partition.pages.append(0)
            partition.made_by.append(0)
            self.tally.events += 1

    def _fold(self, record: Stored) -> int:
        """The sequence that a page for this event must have; 0 for none."""
        incoming = Incoming(record.partition, record.offset, record.key, record.value, record.timestamp, record.headers)
        batch = fold([incoming], self._states.get, self._settings, events_topic=EVENTS, dead_letter_topic=DEAD_LETTERS)
        self.tally.duplicates += batch.duplicates
        for key, visit in batch.visits.items():
            self._states[key] = visit.state
            self._last_good[key] = (record.partition, record.offset)
            self.tally.good += 1
            return visit.state.sequence
        self._letters.expect((record.partition, record.offset), batch)
        self.tally.dead = self._letters.expected
        return _NO_PAGE

    def take_pages(self, records: Iterable[Stored]) -> None:
        """Records of the page topic, in the order of their offsets in each partition; their events were taken before."""
        for record in records:
            if record.value is None:
                continue
            page = msgspec.json.decode(record.value)
            self.tally.pages += 1
            self.tally.degraded_pages += page["degraded"]
            self._compare(record.key, page)
            self._show(record.key, page["source"]["partition"], page["source"]["offset"])

    def _compare(self, key: bytes, page: dict[str, Any]) -> None:
        """Law 3 but for the content, and what was repeated on the wire."""
        source, events = page["source"], self._partitions[page["source"]["partition"]]
        offset, place = source["offset"], f"{source['partition']}:{source['offset']} of {key!r}"
        wanted = events.sequences[offset] if offset < len(events.sequences) else _NO_PAGE
        if wanted == _NO_PAGE or events.owners[offset] != digest_of(key):
            self.tally.violated(f"law 3: a page for {place}, where there must be none")
            return
        if page["sequence"] != wanted:
            self.tally.violated(f"law 3: the page for {place} has sequence {page['sequence']}, expected {wanted}")
        digest = digest_of(msgspec.json.encode({name: value for name, value in page.items() if name not in TIME_FIELDS}))
        made_by = 0 if page["degraded"] else digest_of(msgspec.json.encode([page.get(name) for name in MADE_BY]))
        if events.pages[offset]:
            self.tally.repeated_pages += 1
            self.tally.repeated_identical += events.pages[offset] == digest
            if made_by and made_by == events.made_by[offset] and events.pages[offset] != digest:
                self.tally.violated(f"law 3: the page for {place} came again with other content, made by the same versions")
        if made_by or not events.made_by[offset]:  # what a full page said must be said again, whatever fallbacks come between
            events.pages[offset], events.made_by[offset] = digest, made_by
        self._newest_page[key] = max(self._newest_page.get(key, -1), offset)

    def _show(self, key: bytes, partition: int, offset: int) -> None:
        """Law 2, by the very code that shops use."""
        if not self._newest.accepts(key, partition, offset):
            return
        shown = self._shown.get(key, -1)
        if offset <= shown:
            self.tally.visible_duplicates += offset == shown
            self.tally.backwards += offset < shown
            self.tally.violated(f"law 2: {key!r} was shown {partition}:{offset} after offset {shown}")
        self._shown[key] = offset

    def take_dead_letters(self, records: Iterable[Stored]) -> None:
        """Records of the dead-letter topic."""
        for record in records:
            self._letters.take(record)
        self.tally.dead_letters = self._letters.found

    def take_changelog(self, records: Iterable[Stored]) -> None:
        """Records of the session table's changelog: of each visitor the newest state counts, as in the table's recovery."""
        keep_newest(self._changelog, records)

    def close(self) -> Tally:
        """Laws 1, 4 and 5: everything that was taken in must be accounted for now."""
        self.tally.lost = 0
        for key, (partition, offset) in self._last_good.items():
            newest = self._newest_page.get(key, -1)
            if newest < offset:
                self.tally.lost += self._unanswered(key, partition, newest)
                self.tally.violated(f"law 1: {key!r} has no page for its last event {partition}:{offset}, newest is {newest}")
        for words in self._letters.violations():
            self.tally.violated(words)
        accounted = self.tally.good + self.tally.duplicates + self.tally.dead
        if accounted != self.tally.events:
            self.tally.violated(f"law 4: {self.tally.events} events in, {accounted} accounted for")
        for key, state in self._states.items():
            stored = self._changelog.get(key)
            if not stored or not _is_same(decode_state(stored), state, self._settings.recent_events):
                self.tally.violated(f"law 5: the session of {key!r} differs from the oracle's")
        return self.tally

    def _unanswered(self, key: bytes, partition: int, newest: int) -> int:
        events, owner = self._partitions[partition], digest_of(key)
        rest = range(newest + 1, len(events.sequences))
        return sum(events.sequences[offset] != _NO_PAGE and events.owners[offset] == owner for offset in rest)


def _is_same(stored: SessionState, state: SessionState, touches: int) -> bool:
    """Whether the facts are the same; what the encoder has seen is not told by folding alone."""
    ours, theirs = without_encoder(stored), without_encoder(state)
    return msgspec.structs.replace(ours, pending=ours.pending[-touches:]) == theirs

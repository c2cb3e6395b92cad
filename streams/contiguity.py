"""Rule 1 of delivery: offsets of a partition are processed one after the other, none left out, none twice.

Valid because the input topics are never compacted while they are read at the head, nor written in transactions; for a
compacted topic `allow_gaps` accepts what compaction left out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.batch import Incoming

_LOG = logging.getLogger(__name__)
_RESEEK_SECONDS = 1.0


class EventSource(Protocol):
    """A topic as one member of the consumer group sees it."""

    def generation(self) -> int:
        """Generation of the consumer group; changes with every rebalance."""
        ...

    def is_current(self, incoming: Incoming) -> bool:
        """Whether the record was fetched in this generation and the flow is on."""
        ...

    async def committed(self, partition: int) -> int:
        """Next offset to read by the broker's word: the committed one, else the earliest."""
        ...

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from `offset` again."""
        ...

    def acknowledge(self, incoming: Incoming) -> None:
        """Mark one record as done; the source commits in its own rhythm."""
        ...

    async def next(self, most: int) -> list[Incoming]:
        """Wait for one record and take what else is there, at most `most`; no timer."""
        ...


@dataclass
class Contiguity:
    """Which offset each partition expects next, and up to which everything is done.

    Args:
        source: asked once per partition and generation where to begin.
        monotonic: seconds.
        on_seek: told when a gap made the worker seek back.
        allow_gaps: accept offsets above the expected one (compacted topics).
    """

    source: EventSource
    monotonic: Callable[[], float]
    on_seek: Callable[[], object] = lambda: None
    allow_gaps: bool = False
    generation: int = -1
    _expected: dict[int, int] = field(default_factory=dict)
    _done: dict[int, int] = field(default_factory=dict)
    _sought: dict[int, float] = field(default_factory=dict)
    _discarded: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Offsets that were here and have to come again: fetched before a rebalance, or of a batch that failed."""
    _ahead: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Offsets seen above a gap since the gap is there."""

    def renewed(self) -> bool:
        """Whether a rebalance happened since the last call; if so all offsets are asked for anew."""
        generation = self.source.generation()
        if generation == self.generation:
            return False
        self.generation = generation
        self._expected.clear()
        self._done.clear()
        self._sought.clear()
        self._ahead.clear()
        return True

    async def take(self, records: Sequence[Incoming]) -> list[Incoming]:
        """The records that come next in their partitions; the rest is acknowledged, or read again later."""
        taken = []
        for incoming in records:
            partition, offset = incoming.partition, incoming.offset
            if not self.source.is_current(incoming):
                # Fetched before a rebalance: acknowledging it here is how a plain agent loses events.
                self._discarded[partition].add(offset)
                continue
            if partition not in self._expected:
                self._expected[partition] = self._done[partition] = await self.source.committed(partition)
            expected = self._expected[partition]
            if offset == expected or (offset > expected and self._is_compacted(partition, expected, offset)):
                self._expected[partition] = offset + 1
                self._sought.pop(partition, None)
                self._discarded.pop(partition, None)
                self._ahead.pop(partition, None)
                taken.append(incoming)
            elif offset < expected:
                if offset < self._done[partition]:
                    self.source.acknowledge(incoming)
            else:
                await self._seek_once(partition, expected)
        return taken

    def _is_compacted(self, partition: int, expected: int, offset: int) -> bool:
        """Whether the gap is what compaction left out, and nothing that was discarded here.

        What was discarded may be compacted away before it is read again: then the offset behind it comes a second time,
        without anything before it.
        """
        if not self.allow_gaps:
            return False
        if not any(expected <= gone < offset for gone in self._discarded[partition]) or offset in self._ahead[partition]:
            return True
        self._ahead[partition].add(offset)
        return False

    async def nudge(self) -> None:
        """Seek again where a gap is still open; called now and then, since without new records nobody else would."""
        for partition in list(self._sought):
            await self._seek_once(partition, self._expected[partition])

    async def _seek_once(self, partition: int, offset: int) -> None:
        # What was fetched before the seek still arrives; seeking for each of those would never end.
        now = self.monotonic()
        if now - self._sought.get(partition, -_RESEEK_SECONDS) >= _RESEEK_SECONDS:
            self._sought[partition] = now
            self.on_seek()
            _LOG.warning("gap in a partition, reading it again", extra={"partition": partition, "offset": offset})
            await self.source.seek(partition, offset)

    def done(self, records: Sequence[Incoming]) -> None:
        """Acknowledge records whose effects are durable; call in the order in which they were taken."""
        for incoming in records:
            self.source.acknowledge(incoming)
            self._done[incoming.partition] = incoming.offset + 1

    async def restart(self) -> None:
        """Read again whatever was taken and is not done."""
        self._sought.clear()
        if self.source.generation() != self.generation:
            return  # the rebalance begins anew anyway
        for partition, offset in self._done.items():
            if self._expected[partition] != offset:
                # The queue still holds what follows: that is no gap of compaction.
                self._discarded[partition].update(range(offset, self._expected[partition]))
                self._ahead.pop(partition, None)
                self._expected[partition] = offset
                await self.source.seek(partition, offset)

    def positions(self) -> dict[int, int]:
        """Next offset that is not done, by partition."""
        return dict(self._done)

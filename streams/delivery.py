"""Delivery: effectively once, without transactions, by the five rules of docs/architecture.md.

1. Contiguity. Offset o of a partition is processed only if o is the next expected one; the count starts at the offset
   committed at the broker, asked once per partition and generation. Below: acknowledged and skipped. Above: the
   worker seeks back.
2. Fence. The state carries the last folded offset (`streams.sessions`).
3. Ownership. If the consumer's generation changed while the ranker worked, the batch is dropped: no page, no state,
   no acknowledgement.
4. Order. Pages and dead letters acknowledged, then the changelog acknowledged, then the events acknowledged, in the
   order of their offsets.
5. Batch invariance. A row of the ranker does not depend on its batch (`triton_models`), so a page made again is the same.

Batches are pipelined: while the writes of one are awaited the next is folded and ranked, on an overlay of the states
that are not yet in the table. When anything fails, every batch in flight is dropped and read again from the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from contracts.errors import BrokerUnavailable
from contracts.events import Event
from contracts.settings import Settings
from monitoring.metrics import WorkerMetrics
from streams.batch import Batch, Incoming, fold
from streams.contiguity import Contiguity, EventSource
from streams.ports import Clock, Record, RecordLog
from streams.refresh import Refreshed, Refresher
from streams.sessions import SessionState, decode_state, encode_state, ids_key

_LOG = logging.getLogger(__name__)
_BACKOFF_SECONDS = 0.2


class SessionTable(Protocol):
    """The session table of the partitions that this worker owns, and its changelog."""

    def get(self, key: bytes) -> bytes | None:
        """Stored state of a visitor."""
        ...

    def put(self, key: bytes, value: bytes, partition: int) -> None:
        """Store in memory; the changelog record was written before."""
        ...

    def remove(self, key: bytes) -> None:
        """Forget in memory; the tombstone was written before."""
        ...

    def keys(self) -> list[bytes]:
        """Keys of everything held: sessions, and event ids of visitors without one."""
        ...

    def changelog(self, key: bytes, value: bytes | None, partition: int) -> Record:
        """The changelog record of a change."""
        ...


@dataclass
class Work:
    """One batch on its way through the writes of rule 4."""

    serial: int
    epoch: int
    generation: int
    incoming: list[Incoming]
    batch: Batch
    refreshed: list[Refreshed]
    taken_at: float
    queue_ms: list[float]
    written: asyncio.Task[None] | None = None


@dataclass
class Delivery:
    """The worker's loop over one event source.

    Args:
        source: where events come from.
        table: where sessions live.
        log: where pages, dead letters and changelog records are written.
        refresher: folded batch to pages.
        settings: all settings.
        metrics: the worker's metrics.
        clock: wall and monotonic clock.
        events_topic: name of the source topic.
        dead_letter_topic: where broken events go.
        on_error: called with an unexpected exception before the batch is read again.
        on_told: called with the events of a written batch that tell of earlier pages or of ads.
    """

    source: EventSource
    table: SessionTable
    log: RecordLog
    refresher: Refresher
    settings: Settings
    metrics: WorkerMetrics
    clock: Clock
    events_topic: str
    dead_letter_topic: str
    on_error: Callable[[Exception], None] = lambda _: None
    on_told: Callable[[Sequence[Event]], None] = lambda _: None
    watermarks: dict[tuple[int, str], int] = field(default_factory=dict)
    last_progress: float = 0.0
    _overlay: dict[bytes, tuple[int, SessionState | None]] = field(default_factory=dict)
    _epoch: int = 0
    _serial: int = 0
    _tail: asyncio.Task[None] | None = None
    _gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Rule 1 is kept by a `Contiguity` over the same source."""
        self._contiguity = Contiguity(self.source, self.clock.monotonic, self.metrics.seeks.inc)

    async def run(self, should_stop: Callable[[], bool]) -> None:
        """Take, fold, rank, publish until told to stop; no exception of a batch leaves this loop."""
        slots = asyncio.Semaphore(self.settings.worker.pipeline_depth)
        while not should_stop():
            records = await self.source.next(self.settings.worker.batch_max)
            await slots.acquire()
            await self._one(records, slots)

    async def _one(self, records: Sequence[Incoming], slots: asyncio.Semaphore) -> None:
        try:
            async with self._gate:
                work = await self._advance(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is read again and nothing is lost
            slots.release()
            await self._abandon(error)
            await asyncio.sleep(_BACKOFF_SECONDS)
            return
        if work is None:
            slots.release()
            return
        self._tail = asyncio.create_task(self._finish(work, self._tail))
        self._tail.add_done_callback(lambda _: slots.release())

    # ---- fold, rank, rules

    def state(self, key: bytes) -> SessionState | None:
        """What is known of a visitor, batches in flight included; without a session the ids of earlier events."""
        held = self._overlay.get(key)
        if held is not None:
            return held[1]
        value = self.table.get(key) or self.table.get(ids_key(key))
        return decode_state(value) if value else None

    async def _advance(self, records: Sequence[Incoming]) -> Work | None:
        taken_at, wall = self.clock.monotonic(), self.clock.wall_ms()
        if self._contiguity.renewed():
            self._epoch += 1
            self._overlay.clear()
        epoch, generation = self._epoch, self._contiguity.generation
        incoming = await self._contiguity.take(records)
        if epoch != self._epoch:  # a batch before failed meanwhile: these offsets were counted on from its end
            await self._contiguity.restart()
            return None
        if not incoming:
            return None
        batch = fold(
            incoming,
            self.state,
            self.settings.session,
            events_topic=self.events_topic,
            dead_letter_topic=self.dead_letter_topic,
        )
        waits = {key: max(0.0, float(wall - visit.incoming.timestamp)) for key, visit in batch.visits.items()}
        refreshed = await self.refresher.refresh(batch, taken_at, waits)
        if epoch != self._epoch or generation != self.source.generation():  # rule 3
            self.metrics.dropped_batches.labels("rebalance").inc()
            return None
        self._serial += 1
        work = Work(self._serial, epoch, generation, incoming, batch, refreshed, taken_at, list(waits.values()))
        for item in refreshed:
            self._overlay[item.key] = (self._serial, item.state)
        # Pages leave at once, in the order of the batches; only what follows them waits for its turn.
        work.written = asyncio.create_task(self.log.write([item.page for item in refreshed] + batch.dead))
        return work

    # ---- writing: rule 4

    async def _finish(self, work: Work, before: asyncio.Task[None] | None) -> None:
        try:
            if work.written is not None:
                await work.written
            published_at, published_wall = self.clock.monotonic(), self.clock.wall_ms()
            if before is not None:
                await before
            if work.epoch != self._epoch or work.generation != self.source.generation():
                self.metrics.dropped_batches.labels("rebalance").inc()
                return
            await self._store(work)
        except Exception as error:  # noqa: BLE001 - as in _one
            if work.epoch == self._epoch:
                await self._abandon(error)
            return
        if work.epoch != self._epoch:
            return
        self._contiguity.done(work.incoming)
        for item in work.refreshed:
            if self._overlay.get(item.key, (0, None))[0] <= work.serial:
                self._overlay.pop(item.key, None)
        self.last_progress = published_at
        self._count(work, published_at, published_wall)

    async def _store(self, work: Work) -> None:
        changed = [item for item in work.refreshed if item.state is not None or item.had_state]
        values = [encode_state(item.state) if item.state is not None else None for item in changed]
        if changed:
            pairs = list(zip(changed, values, strict=True))
            records = [self.table.changelog(item.key, value, item.partition) for item, value in pairs]
            records += [
                self.table.changelog(ids_key(item.key), None, item.partition)
                for item, value in pairs
                if value is None or item.withheld
            ]
            await self.log.write(records)
        if work.epoch != self._epoch or work.generation != self.source.generation():
            message = "the partitions moved while the changelog was written"
            raise BrokerUnavailable(message)
        for item, value in zip(changed, values, strict=True):
            if value is None or item.withheld:  # what was kept before goes, also where consent came back at once
                self.table.remove(item.key)
                self.table.remove(ids_key(item.key))
            if value is not None:
                self.table.put(item.key, value, item.partition)
        for clock, time_ms in work.batch.watermarks.items():
            self.watermarks[clock] = max(self.watermarks.get(clock, 0), time_ms)

    async def _abandon(self, error: Exception) -> None:
        """Drop every batch in flight and read again from the first event that is not done."""
        self.metrics.dropped_batches.labels("error").inc()
        _LOG.warning("a batch failed and is read again", extra={"error": f"{type(error).__name__}: {error}"})
        self.on_error(error)
        self._epoch += 1
        self._overlay.clear()
        await self._contiguity.restart()

    # ---- removal: see streams.forgetting

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Within it nothing is in flight: the batches that were are written, and the next waits."""
        async with self._gate:
            while self._tail is not None and not self._tail.done():
                await asyncio.wait([self._tail])
            yield

    async def nudge(self) -> None:
        """See `Contiguity.nudge`."""
        await self._contiguity.nudge()

    def positions(self) -> dict[int, int]:
        """Next offset that is not done, by partition."""
        return self._contiguity.positions()

    # ---- counting

    def _count(self, work: Work, published_at: float, published_wall: int) -> None:
        metrics, batch = self.metrics, work.batch
        metrics.events.inc(len(work.incoming) - batch.replayed)
        metrics.batch_size.observe(len(work.incoming))
        processed = len(batch.visits)
        for outcome, count in (
            ("processed", processed),
            ("coalesced", batch.coalesced),
            ("duplicate", batch.duplicates),
            ("dead_letter", len(batch.dead)),
        ):
            metrics.outcomes.labels(outcome).inc(count)
        for reason in batch.dead_reasons:
            metrics.dead_letters.labels(reason).inc()
        metrics.late.inc(batch.late)
        metrics.replayed.inc(batch.replayed)
        self.on_told(batch.told)
        publish = metrics.stage.labels("publish")
        whole = metrics.stage.labels("event_to_page")
        queue = metrics.stage.labels("queue")
        for wait in work.queue_ms:
            queue.observe(wait / 1000)
        publish.observe(published_at - work.taken_at)
        kinds = Counter((item.page_type, str(item.degraded).lower()) for item in work.refreshed)
        for labels, count in kinds.items():
            metrics.pages.labels(*labels).inc(count)
        for visit in batch.visits.values():
            age = max(0, published_wall - visit.incoming.timestamp) / 1000
            whole.observe(age)
            metrics.lag_seconds.set(age)

"""Follows whole topics, for ever and without a group: every gateway sees every partition."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.kafka_client import aiokafka_options
from contracts.settings import KafkaSettings
from gateway.clock import Clock

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 0.25
_RETRY_MAX_SECONDS = 2.0
_POLL_MS = 250
_RECORDS_PER_TURN = 500


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin in a partition: the later of the two bounds; None is no bound.

    Attributes:
        seconds: at most that old.
        records: at most that many before the end.
    """

    seconds: float | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """One record of a followed topic."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Route:
    """What to do with the records of one topic."""

    start: Start
    take: Callable[[Followed], None]


class Follower:
    """One consumer over several topics; reconnects and goes on where it was.

    Args:
        kafka: the cluster.
        routes: topic (without prefix) to what is done with it. `take` must not block; a record for which it raises
            is logged and left out.
        clock: for the age bound.
    """

    def __init__(self, kafka: KafkaSettings, routes: Mapping[str, Route], clock: Clock) -> None:
        self._kafka = kafka
        self._routes = {kafka.topic_prefix + topic: route for topic, route in routes.items()}
        self._clock = clock
        self._next: dict[TopicPartition, int] = {}
        self._goal: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self.ready = asyncio.Event()
        """Set once everything that was there at start has been taken."""

    async def run(self) -> None:
        """Follow until cancelled."""
        pause = _RETRY_SECONDS
        while True:
            consumer = AIOKafkaConsumer(
                *self._routes,
                **aiokafka_options(self._kafka),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=500,
                max_partition_fetch_bytes=1_048_576,
                metadata_max_age_ms=10_000,
                retry_backoff_ms=100,
            )
            try:
                await consumer.start()
                self._assigned, pause = frozenset(), _RETRY_SECONDS
                while True:
                    await self._turn(consumer)
            except (KafkaError, OSError) as error:
                _LOG.warning("following failed, trying again", extra={"error": f"{type(error).__name__}: {error}"})
            finally:
                with contextlib.suppress(KafkaError, OSError):
                    await consumer.stop()
            await asyncio.sleep(pause)
            pause = min(_RETRY_MAX_SECONDS, pause * 2)

    async def _turn(self, consumer: Any) -> None:
        assigned = frozenset(consumer.assignment())
        if assigned != self._assigned:
            await self._place(consumer, assigned)
            self._assigned = assigned
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_PER_TURN)
        for partition, records in batches.items():
            take = self._routes[partition.topic].take
            for record in records:
                try:
                    take(Followed(record.key, record.value, record.partition, record.offset, record.timestamp, record.headers))
                except Exception:  # noqa: BLE001 - a record that our code does not expect must not end the view of all others
                    _LOG.exception("a record is left out", extra={"topic": partition.topic, "offset": record.offset})
            self._next[partition] = records[-1].offset + 1
        if not self.ready.is_set() and len({p.topic for p in assigned}) == len(self._routes):
            await self._check_ready(consumer)
        # A long backlog is taken in turns, so that requests are answered in between.
        await asyncio.sleep(0)

    async def _check_ready(self, consumer: Any) -> None:
        for partition, goal in self._goal.items():
            if await consumer.position(partition) < goal:
                return
        self.ready.set()

    async def _place(self, consumer: Any, assigned: frozenset[TopicPartition]) -> None:
        """Seek every partition: to where it was, or for a new one to its start."""
        new = [partition for partition in assigned if partition not in self._next]
        ends = await consumer.end_offsets(new) if new else {}
        begins = await consumer.beginning_offsets(new) if new else {}
        self._goal |= ends
        for partition in new:
            self._next[partition] = max(begins[partition], await self._begin(consumer, partition, ends[partition]))
        for partition in assigned:
            consumer.seek(partition, self._next[partition])

    async def _begin(self, consumer: Any, partition: TopicPartition, end: int) -> int:
        start = self._routes[partition.topic].start
        bounds = [0]
        if start.records is not None:
            bounds.append(end - start.records)
        if start.seconds is not None:
            since = self._clock.wall_ms() - int(start.seconds * 1000)
            found = (await consumer.offsets_for_times({partition: since}))[partition]
            bounds.append(end if found is None else found.offset)
        return max(bounds)

    def lag(self) -> int:
        """Records of the start that are not taken yet; 0 once ready."""
        if self.ready.is_set():
            return 0
        return sum(max(0, goal - self._next.get(partition, 0)) for partition, goal in self._goal.items())


async def read_one(
    kafka: KafkaSettings, topic: str, partition: int, offset: int, timeout_seconds: float = 5.0
) -> Followed | None:
    """The record at one place, or None if it is not there any more.

    Raises:
        TimeoutError: if the broker does not answer.
        KafkaError: if it refuses.
    """
    place = TopicPartition(kafka.topic_prefix + topic, partition)
    consumer = AIOKafkaConsumer(place.topic, **aiokafka_options(kafka), group_id=None, enable_auto_commit=False)
    async with asyncio.timeout(timeout_seconds):
        await consumer.start()
        try:
            if place not in consumer.assignment():
                return None
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not begin <= offset < end:
                return None
            consumer.seek(place, offset)
            record = await consumer.getone(place)
        finally:
            await consumer.stop()
    if record.offset != offset:
        return None
    return Followed(record.key, record.value, record.partition, record.offset, record.timestamp, record.headers)

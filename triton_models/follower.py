"""Keeps the index equal to `shop.item_embeddings.v1`: reads it from the beginning, then follows it, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import TopicPartition

from contracts.errors import ContractError
from contracts.settings import KafkaSettings
from triton_models.items import LiveItems
from triton_models.metrics import IndexMetrics
from triton_models.records import Change, read_change
from triton_models.topic_follower import POLL_MS, RETRY_SECONDS, TopicFollower

_LOG = logging.getLogger(__name__)
CHUNK = 64  # rows written at once: searches wait for a fraction of a millisecond
ASK_SECONDS = 2.0


class ItemFollower(TopicFollower):
    """The thread; what was read stays when the broker is away.

    Args:
        settings: the cluster.
        topic: full name of the topic.
        items: the live catalogue to write to.
        model_version: of the serving model; records of another are applied, but counted.
        metrics: of the index.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, items: LiveItems, model_version: int, metrics: IndexMetrics
    ) -> None:
        super().__init__("item-follower", settings, topic)
        self._items = items
        self._model_version = model_version
        self._metrics = metrics
        self._next: dict[TopicPartition, int] = {}
        self._heard = time.monotonic()
        self.connected = threading.Event()
        """Set when the broker has answered once."""
        metrics.age.set_function(self.age_seconds)

    def age_seconds(self) -> float:
        """Seconds since the broker was last heard from."""
        return time.monotonic() - self._heard

    def on_lost(self) -> None:
        """Count it."""
        self._metrics.reconnects.inc()

    def follow(self, consumer: Any) -> None:
        """Go on where the last connection ended."""
        partitions = self._partitions(consumer)
        if partitions:
            self._resume(consumer, partitions)
            self._read(consumer, partitions)

    def _partitions(self, consumer: Any) -> list[TopicPartition]:
        """All partitions of the topic; waits until it has been declared."""
        while not self._ended.is_set():
            numbers = consumer.partitions_for_topic(self._topic)
            self.connected.set()
            if numbers:
                return [TopicPartition(self._topic, number) for number in sorted(numbers)]
            self._ended.wait(RETRY_SECONDS)
        return []

    def _resume(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Go on where the last connection ended; from the beginning, with an empty index, if the topic was made anew."""
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        self._heard = time.monotonic()
        starts = consumer.beginning_offsets(partitions)
        if any(self._next.get(partition, 0) > ends[partition] for partition in partitions):
            _LOG.warning("item topic is shorter than what was read, reading it anew")
            self._items.clear()
            self._next.clear()
        for partition in partitions:
            consumer.seek(partition, max(self._next.get(partition, 0), starts[partition]))
        self._advance(consumer, partitions)
        self._check_ready(ends)

    def _check_ready(self, ends: Mapping[TopicPartition, int]) -> None:
        if not self.ready.is_set() and all(self._next[partition] >= end for partition, end in ends.items()):
            self.ready.set()
            _LOG.info("index is ready", extra={"items": len(self._items), "position": self._items.version})

    def _read(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        goal = ends = consumer.end_offsets(partitions)
        while not self._ended.is_set():
            fetched = consumer.poll(timeout_ms=POLL_MS, max_records=500)
            self._apply([record for records in fetched.values() for record in records])
            if time.monotonic() - self._heard > ASK_SECONDS:
                ends = consumer.end_offsets(partitions)  # raises when the broker is away: poll only returns nothing
                self._heard = time.monotonic()
            self._advance(consumer, partitions)
            self._metrics.behind.set(sum(max(0, end - self._next[partition]) for partition, end in ends.items()))
            self._check_ready(goal)

    def _advance(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Note the position: the index has applied everything before it."""
        self._next = {partition: consumer.position(partition) for partition in partitions}
        with self._items.lock:
            self._items.version = sum(self._next.values())
        self._metrics.position.set(self._items.version)
        self._metrics.size.set(len(self._items))
        self._metrics.eligible.set(self._items.eligible_count)

    def _apply(self, records: Iterable[Any]) -> None:
        changes: dict[int, Change] = {}
        for record in records:
            change = self._change(record)
            if change is not None:
                # The newest record of an item is the last: an item has one partition.
                changes.pop(change.key, None)
                changes[change.key] = change
            if len(changes) >= CHUNK:
                self._write(changes)
                changes = {}
        if changes:
            self._write(changes)

    def _change(self, record: Any) -> Change | None:
        try:
            change = read_change(record.key, record.value, self._items.dim)
        except (ContractError, ValueError) as error:
            outcome = "other_width" if "numbers, expected" in str(error) else "malformed"
            self._metrics.records.labels(outcome).inc()
            _LOG.warning(
                "item record skipped",
                extra={"error": str(error), "partition": record.partition, "offset": record.offset},
            )
            return None
        if change.item is not None and change.model_version != self._model_version:
            self._metrics.records.labels("other_version").inc()
        self._metrics.records.labels("deleted" if change.item is None else "upserted").inc()
        return change

    def _write(self, changes: Mapping[int, Change]) -> None:
        self._items.apply({key: change.item for key, change in changes.items()}, self._items.version)
        if not self.ready.is_set():
            return  # what was read again at the start tells nothing about how fast a change arrives
        now = time.time()
        for change in changes.values():
            if change.catalog_time:
                self._metrics.time_to_eligibility.observe(max(0.0, now - change.catalog_time / 1000))

"""Learns from `shop.sessions.v1`: reads its newest records at the start, then follows it, in a thread and in steps.

A ranker that has read the topic from another place, or after a compaction, has learned something else and says so by another
`Learning.version`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from kafka import TopicPartition

from contracts.errors import ContractError
from contracts.sessions import decode_session
from contracts.settings import KafkaSettings
from triton_models.learning import Learning, Lesson
from triton_models.metrics import LearningMetrics
from triton_models.topic_follower import POLL_MS, RETRY_SECONDS, TopicFollower

_LOG = logging.getLogger(__name__)
STEP_SECONDS = 1.0
"""While nothing hurries, what came is learned this often: in between a page asked for again is the same page."""
CHUNK = 64
RECORDS_PER_SESSION = 4
"""At the start the topic is read from so many records before its end, for each session that is kept."""


class SessionFollower(TopicFollower):
    """The thread; what was learned stays when the broker is away.

    Args:
        settings: the cluster.
        topic: full name of the topic, of one partition.
        learning: what is taught.
        most: sessions of a shop that are kept; bounds what is read at the start.
        metrics: of the learning.
    """

    def __init__(self, settings: KafkaSettings, topic: str, learning: Learning, most: int, metrics: LearningMetrics) -> None:
        super().__init__("session-follower", settings, topic)
        self._partition = TopicPartition(topic, 0)
        self._learning = learning
        self._most = most
        self._metrics = metrics
        self._next: int | None = None
        self._waiting: list[Lesson] = []

    def follow(self, consumer: Any) -> None:
        """Go on where the last connection ended; waits until the topic has been declared."""
        while not consumer.partitions_for_topic(self._topic):
            if self._ended.wait(RETRY_SECONDS):
                return
        self._read(consumer, self._resume(consumer))

    def _resume(self, consumer: Any) -> int:
        """Go on where the last connection ended; anew if the topic was made anew. The end of the topic."""
        consumer.assign([self._partition])
        self._waiting.clear()  # it is read again
        end: int = consumer.end_offsets([self._partition])[self._partition]
        first: int = consumer.beginning_offsets([self._partition])[self._partition]
        if self._next is not None and self._next > end:
            _LOG.warning("session topic is shorter than what was read, learning it anew")
            self._learning.clear()
            self._next = None
        if self._next is None:
            self._next = max(first, end - RECORDS_PER_SESSION * self._most)
        consumer.seek(self._partition, max(self._next, first))
        return end

    def _read(self, consumer: Any, goal: int) -> None:
        learned_at = time.monotonic()
        while not self._ended.is_set():
            fetched = consumer.poll(timeout_ms=POLL_MS, max_records=500)
            for records in fetched.values():
                self._waiting += [lesson for record in records if (lesson := self._lesson(record)) is not None]
            position = consumer.position(self._partition)
            catches_up = not self.ready.is_set()
            if catches_up or time.monotonic() - learned_at >= STEP_SECONDS:
                self._learn()
                learned_at = time.monotonic()
            self._next = position if not self._waiting else self._waiting[0].offset
            if catches_up and position >= goal:
                self.ready.set()
                _LOG.info("sessions are learned", extra={"sessions": self._learning.sessions, "position": position})

    def _learn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), CHUNK):
            self._learning.apply(waiting[start : start + CHUNK])
        self._metrics.sessions.set(self._learning.sessions)

    def _lesson(self, record: Any) -> Lesson | None:
        if record.value is None:
            self._metrics.records.labels("forgotten").inc()
            return Lesson(record.offset, record.key or b"", None)
        try:
            session = decode_session(record.value)
        except ContractError as error:
            self._metrics.records.labels("malformed").inc()
            _LOG.warning("session record skipped", extra={"error": str(error), "offset": record.offset})
            return None
        self._metrics.records.labels("learned").inc()
        return Lesson(record.offset, record.key or b"", session)

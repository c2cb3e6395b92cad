"""A thread that follows a topic for as long as the process lives; a broker that is away is waited for."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings

_LOG = logging.getLogger(__name__)
POLL_MS = 200
RETRY_SECONDS = 0.5


class TopicFollower(threading.Thread, ABC):
    """The thread: connects, calls :meth:`follow`, and connects again when that fails.

    Args:
        name: of the thread.
        settings: the cluster.
        topic: full name of the topic.
    """

    def __init__(self, name: str, settings: KafkaSettings, topic: str) -> None:
        super().__init__(name=name, daemon=True)
        self._settings = settings
        self._topic = topic
        self._ended = threading.Event()
        self.ready = threading.Event()
        """Set when all that the topic held at the start has been applied."""

    @abstractmethod
    def follow(self, consumer: Any) -> None:
        """Read until `_ended` is set; called for each new connection, without a group and without partitions.

        Raises:
            KafkaError: the broker is away; called again after `RETRY_SECONDS`.
        """

    def on_lost(self) -> None:
        """Called after a connection that failed."""

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread."""
        self._ended.set()
        self.join(timeout_seconds)

    def run(self) -> None:
        """Follow until stopped."""
        while not self._ended.is_set():
            try:
                self._connect()
            except (KafkaError, OSError, ValueError) as error:
                _LOG.warning(
                    "topic cannot be read, trying again",
                    extra={"topic": self._topic, "error": f"{type(error).__name__}: {error}"},
                )
                self.on_lost()
                self._ended.wait(RETRY_SECONDS)

    def _connect(self) -> None:
        consumer = KafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            reconnect_backoff_max_ms=1000,
            request_timeout_ms=10_000,
            bootstrap_timeout_ms=2000,
            check_crcs=False,  # in pure Python it takes longer than all else; TCP and the broker check too
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **kafka_python_options(self._settings),
        )
        try:
            self.follow(consumer)
        finally:
            consumer.close()

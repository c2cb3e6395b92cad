"""Dead letters: what broke, why, and bringing it back once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contracts.errors import BrokerUnavailable
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from contracts.topics import DEAD_LETTERS

PREFIX = "dlq.error."


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter: its own place, what came, and the `dlq.error.*` headers without their prefix."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]

    @property
    def error(self) -> dict[str, str]:
        """code, path, message, topic, partition, offset, stage, attempt."""
        return {name.removeprefix(PREFIX): text.decode() for name, text in self.headers if name.startswith(PREFIX)}


class DeadLetterBox:
    """Reads and clears `shop.events.dlq`.

    Args:
        settings: the cluster.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = settings.topic_prefix + DEAD_LETTERS
        self._consumer: KafkaConsumer | None = None

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        try:
            self._consumer = KafkaConsumer(
                **kafka_python_options(self._settings), auto_offset_reset="earliest", enable_auto_commit=False
            )
        except KafkaError as error:
            message = f"no broker answers at {self._settings.bootstrap_servers}: {error}"
            raise BrokerUnavailable(message) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _open(self) -> Any:
        if self._consumer is None:
            message = "the box is not connected: use it in a `with` statement"
            raise BrokerUnavailable(message)
        return self._consumer

    def letters(self) -> Iterator[DeadLetter]:
        """All dead letters that the topic holds now, by partition and offset."""
        consumer = self._open()
        partitions = [TopicPartition(self._topic, number) for number in range(self._settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=300).values():
                for r in records:
                    yield DeadLetter(r.partition, r.offset, r.key, r.value, r.timestamp, tuple(r.headers))

    def find(self, partition: int, offset: int) -> DeadLetter | None:
        """The dead letter at this place, or None."""
        return next((letter for letter in self.letters() if (letter.partition, letter.offset) == (partition, offset)), None)

    def purge(self) -> int:
        """Delete all dead letters up to now; how many there were.

        Raises:
            BrokerUnavailable: if the broker refuses.
        """
        consumer = self._open()
        partitions = [TopicPartition(self._topic, number) for number in range(self._settings.partitions)]
        starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        admin = KafkaAdminClient(**kafka_python_options(self._settings))
        try:
            admin.delete_records(
                {partition: ends[partition] for partition in partitions if ends[partition] > starts[partition]}
            )
        except KafkaError as error:
            message = f"the dead letters could not be deleted: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error
        finally:
            admin.close()
        return int(sum(ends[partition] - starts[partition] for partition in partitions))

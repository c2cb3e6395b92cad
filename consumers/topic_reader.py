"""One topic read by partitions, without a consumer group: for whoever wants all of it, or what comes from now on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.partitioner import murmur2

from contracts.errors import BrokerUnavailable
from contracts.kafka_client import kafka_python_options, why_not
from contracts.settings import KafkaSettings

CONNECT_MS = 5_000
_WAIT_MS = 200


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner (murmur2) puts a key."""
    return (int(murmur2(key)) & 0x7FFF_FFFF) % partitions


class TopicReader:
    """Reads records of one topic; commits nothing. Entered at the end of the topic.

    Args:
        settings: the cluster.
        topic: name without the prefix of the settings.
        partitions: which to read; None reads all.
    """

    def __init__(self, settings: KafkaSettings, topic: str, partitions: Sequence[int] | None = None) -> None:
        self._settings = settings
        name = settings.topic_prefix + topic
        numbers = range(settings.partitions) if partitions is None else partitions
        self.places = [TopicPartition(name, number) for number in numbers]
        self._consumer: Any = None

    def __enter__(self) -> Self:
        """Connect and take the position: what is published after this is seen.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        try:
            self._consumer = KafkaConsumer(
                **kafka_python_options(self._settings),
                group_id=None,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                fetch_max_wait_ms=100,
                max_poll_records=2000,
                bootstrap_timeout_ms=CONNECT_MS,
            )
            self._consumer.assign(self.places)
            self._consumer.seek_to_end(*self.places)
            for place in self.places:
                self._consumer.position(place)  # asks the broker now, not at the first poll
        except KafkaError as error:
            message = why_not(self._settings, error)
            raise BrokerUnavailable(message) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()

    @property
    def consumer(self) -> Any:
        """kafka-python's consumer.

        Raises:
            BrokerUnavailable: outside `with`.
        """
        if self._consumer is None:
            message = "not connected: use it in a `with` statement"
            raise BrokerUnavailable(message)
        return self._consumer

    def rewind(self) -> None:
        """Go to the beginning of every partition."""
        self.consumer.seek_to_beginning(*self.places)

    def poll(self, wait_ms: int = _WAIT_MS) -> list[Any]:
        """Records that are there, in order per partition; empty after `wait_ms` without any."""
        return [record for records in self.consumer.poll(timeout_ms=wait_ms).values() for record in records]

    def until_now(self) -> Iterator[Any]:
        """Records from here up to the end that the topic had when this was called."""
        ends = self.consumer.end_offsets(self.places)
        while any(self.consumer.position(place) < ends[place] for place in self.places):
            yield from self.poll()

"""Reading a topic from its beginning to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition

from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from streams.sessions import decode_state, is_newer


@dataclass(frozen=True)
class Stored:
    """One record as the broker keeps it; `timestamp` in milliseconds."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]


def digest_of(value: bytes | None) -> int:
    """Eight bytes that tell a value from others (BLAKE2b), for who remembers a million of them."""
    return int.from_bytes(hashlib.blake2b(value or b"", digest_size=8).digest(), "little")


def records_of(settings: KafkaSettings, name: str, after: dict[int, int] | None = None) -> Iterator[Stored]:
    """The records of a topic (`name` without the prefix) up to its present end, a few thousand in memory at a time.

    Args:
        settings: the cluster.
        name: topic name without the prefix of the settings.
        after: where to begin, by partition; changed to where the reading ended, so that the next call goes on there.
    """
    consumer = KafkaConsumer(
        **kafka_python_options(settings), auto_offset_reset="earliest", enable_auto_commit=False, max_poll_records=5000
    )
    try:
        partitions = [TopicPartition(settings.topic_prefix + name, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        for partition in partitions:
            if after and partition.partition in after:
                consumer.seek(partition, after[partition.partition])
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                for r in records:
                    yield Stored(r.partition, r.offset, r.key, r.value, r.timestamp, tuple(r.headers))
        if after is not None:
            after |= {partition.partition: consumer.position(partition) for partition in partitions}
    finally:
        consumer.close()


def read_topic(settings: KafkaSettings, name: str, after: dict[int, int] | None = None) -> list[Stored]:
    """Every record of a topic in a list; the arguments are those of `records_of`."""
    return list(records_of(settings, name, after))


def lag(settings: KafkaSettings, group: str, name: str) -> int:
    """Records of a topic that the group has not committed; both names without the prefix of the settings."""
    consumer = KafkaConsumer(**kafka_python_options(settings), group_id=settings.topic_prefix + group, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(settings.topic_prefix + name, number) for number in range(settings.partitions)]
        ends = consumer.end_offsets(partitions)
        return sum(ends[partition] - (consumer.committed(partition) or 0) for partition in partitions)
    finally:
        consumer.close(autocommit=False)


def keep_newest(held: dict[bytes, bytes | None], changelog: Iterable[Stored]) -> None:
    """Put each visitor's newest state into `held`, not the one written last: so the table's own recovery does it."""
    for record in changelog:
        before = held.get(record.key)
        if not (before and record.value and not is_newer(decode_state(record.value), decode_state(before))):
            held[record.key] = record.value

"""Watching items become recommendable: follows `shop.item_embeddings.v1`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contracts.errors import BrokerUnavailable
from contracts.kafka_client import kafka_python_options
from contracts.keys import split_key
from contracts.settings import KafkaSettings
from contracts.topics import ITEM_EMBEDDINGS


class EncodingProgress:
    """Counts how many of a set of items were encoded since it was entered.

    Args:
        settings: the cluster.
        patience_seconds: give up after this long without any of them.
    """

    def __init__(self, settings: KafkaSettings, patience_seconds: float = 60.0) -> None:
        self._settings = settings
        self._patience = patience_seconds
        self._consumer: Any = None

    def __enter__(self) -> Self:
        """Connect at the end of the topic.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        try:
            self._consumer = KafkaConsumer(**kafka_python_options(self._settings), enable_auto_commit=False)
            topic = self._settings.topic_prefix + ITEM_EMBEDDINGS
            partitions = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
            self._consumer.assign(partitions)
            self._consumer.seek_to_end(*partitions)
            for partition in partitions:
                self._consumer.position(partition)
        except KafkaError as error:
            message = f"no broker answers at {self._settings.bootstrap_servers}: {error}"
            raise BrokerUnavailable(message) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def encoded(self, wanted: set[tuple[str, str]]) -> Iterator[int]:
        """How many of `wanted` (tenant, item) are encoded, again and again; takes them out of the set as they come.

        Ends when the set is empty or nothing came for `patience_seconds`.
        """
        total = len(wanted)
        last = time.monotonic()
        while wanted and time.monotonic() - last < self._patience:
            for records in self._consumer.poll(timeout_ms=200).values():
                for record in records:
                    place = split_key(record.key)
                    if place in wanted:
                        wanted.discard(place)
                        last = time.monotonic()
            yield total - len(wanted)

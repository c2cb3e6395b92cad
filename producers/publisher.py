"""Events and catalogue records into Kafka, for a shop's own Python code.

with EventPublisher(Settings().kafka) as events:
    events.publish(Event(event_id=str(uuid4()), event_name="view_item", event_time=now, visitor_id="v-1"))
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contracts.catalog import CatalogItem, encode
from contracts.errors import BrokerUnavailable
from contracts.events import Event, encode_event
from contracts.kafka_client import kafka_python_options, why_not
from contracts.keys import message_key
from contracts.settings import KafkaSettings
from contracts.topics import CATALOG, ERASURES, EVENTS

_ACK_SECONDS = 30.0
_CONNECT_MS = 5_000


class Acknowledgement:
    """What the broker will say of one record.

    Args:
        future: kafka-python's.
        untold: failures that nobody was told of yet.
    """

    def __init__(self, future: Any, untold: list[BaseException]) -> None:
        # flush() waits for records but does not tell which of them failed.
        self._future = future.add_errback(untold.append)
        self._untold = untold

    def wait(self, seconds: float = _ACK_SECONDS) -> tuple[int, int]:
        """Partition and offset, once the broker has the record.

        Raises:
            BrokerUnavailable: if it has not within `seconds`.
        """
        try:
            metadata = self._future.get(timeout=seconds)
        except KafkaError as error:
            if error in self._untold:
                self._untold.remove(error)
            message = f"the broker did not acknowledge the record: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error
        return metadata.partition, metadata.offset


class Publisher:
    """A producer whose records count when all replicas have them; leaving `with` waits for what is not acknowledged.

    Records go to the partition of their key by Kafka's default partitioner (murmur2), as every Java client's do.

    Args:
        settings: the cluster.
        linger_ms: how long a record may wait for company; 0 for single events, more for bulk.
    """

    def __init__(self, settings: KafkaSettings, linger_ms: int = 0) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._producer: KafkaProducer | None = None
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        try:
            self._producer = KafkaProducer(
                **kafka_python_options(self._settings),
                acks="all",
                enable_idempotence=True,  # a retry inside the client neither repeats nor reorders
                linger_ms=self._linger_ms,
                max_block_ms=10_000,
                bootstrap_timeout_ms=_CONNECT_MS,
            )
        except KafkaError as error:
            message = why_not(self._settings, error)
            raise BrokerUnavailable(message) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._producer is None:
            return
        try:
            # What was sent before an error of the caller's was meant too, unless it is the broker that fails.
            if kind is None or not issubclass(kind, BrokerUnavailable):
                self.flush()
        finally:
            with suppress(KafkaError):
                self._producer.close(timeout=5)

    def flush(self, seconds: float = _ACK_SECONDS) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            BrokerUnavailable: if it is not within `seconds`, or the broker refused some of it.
        """
        try:
            self._open().flush(timeout=seconds)
        except KafkaError as error:
            message = f"the broker did not acknowledge everything within {seconds} s"
            raise BrokerUnavailable(message) from error
        if self._failures:
            first, count = self._failures[0], len(self._failures)
            self._failures.clear()
            message = f"the broker refused {count} records, the first one: {type(first).__name__}: {first}"
            raise BrokerUnavailable(message) from first

    def send(self, topic: str, key: bytes, value: bytes | None) -> Acknowledgement:
        """Send one record as it is; `topic` without prefix.

        Raises:
            BrokerUnavailable: outside `with`, or if the broker's metadata cannot be had.
        """
        try:
            future = self._open().send(self._settings.topic_prefix + topic, value, key=key)
            return Acknowledgement(future, self._failures)
        except KafkaError as error:
            message = f"the record could not be sent: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            message = "the publisher is not connected: use it in a `with` statement"
            raise BrokerUnavailable(message)
        return self._producer


class EventPublisher(Publisher):
    """Publishes events and erasure requests."""

    def publish(self, event: Event) -> Acknowledgement:
        """Send one event, keyed by its visitor."""
        return self.send(EVENTS, message_key(event.tenant_id, event.visitor_id), encode_event(event))

    def erase(self, tenant_id: str, visitor_id: str, request: bytes) -> Acknowledgement:
        """Ask that a visitor be forgotten; `request` is JSON with the request's id and time."""
        return self.send(ERASURES, message_key(tenant_id, visitor_id), request)


class CatalogPublisher(Publisher):
    """Publishes products; a change is the same item again, with everything it has."""

    def upsert(self, item: CatalogItem) -> Acknowledgement:
        """Add or replace an item."""
        return self.send(CATALOG, message_key(item.tenant_id, item.item_id), encode(item))

    def delete(self, tenant_id: str, item_id: str) -> Acknowledgement:
        """Take an item out of the catalogue."""
        return self.send(CATALOG, message_key(tenant_id, item_id), None)

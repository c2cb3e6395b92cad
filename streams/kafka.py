"""The worker's own Kafka clients: the idempotent writer and the follower of the item topic. No Faust."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.errors import BrokerUnavailable, ContractError
from contracts.kafka_client import aiokafka_options
from contracts.settings import KafkaSettings
from streams.items import ItemView
from streams.ports import Record

_LOG = logging.getLogger(__name__)
_REQUEST_TIMEOUT_MS = 10_000


class KafkaLog:
    """`streams.ports.RecordLog` on idempotent producers: a retry inside the client neither repeats nor reorders.

    aiokafka has one produce request on its way to a broker at a time, so that a record waits for the answer to whatever was
    sent there before it. Records of a topic keep their order on one producer; no order is promised between topics.

    Args:
        settings: the cluster.
        apart: full names of topics that get a producer of their own; all others share one.
    """

    def __init__(self, settings: KafkaSettings, apart: Collection[str] = ()) -> None:
        self._settings = settings
        self._apart = tuple(apart)
        self._shared: AIOKafkaProducer | None = None
        self._own: dict[str, AIOKafkaProducer] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        self._shared = self._producer()
        self._own = {topic: self._producer() for topic in self._apart}
        try:
            await asyncio.gather(*(producer.start() for producer in (self._shared, *self._own.values())))
        except KafkaError as error:
            message = f"no broker answers at {self._settings.bootstrap_servers}: {error}"
            raise BrokerUnavailable(message) from error

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            **aiokafka_options(self._settings),
        )

    async def stop(self) -> None:
        """Close the connections; what is not acknowledged by then is not acknowledged."""
        if self._shared is not None:
            await asyncio.gather(*(producer.stop() for producer in (self._shared, *self._own.values())))

    async def write(self, records: Sequence[Record]) -> None:
        """See `streams.ports.RecordLog.write`."""
        if not records:
            return
        shared = self._shared
        if shared is None:
            message = "the log was not started"
            raise BrokerUnavailable(message)
        try:
            pending = [
                await self._own.get(record.topic, shared).send(
                    record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers)
                )
                for record in records
            ]
            await asyncio.gather(*pending)
        except KafkaError as error:
            message = f"the broker did not acknowledge {len(records)} records: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error


async def keep_following(settings: KafkaSettings, follow: Callable[[AIOKafkaConsumer], Awaitable[None]], topic: str) -> None:
    """Call `follow` with a consumer without a group, and again with another whenever the broker fails it; until cancelled.

    Args:
        settings: the cluster.
        follow: assigns partitions and reads until cancelled.
        topic: what is read, for the log.
    """
    while True:
        try:
            consumer = AIOKafkaConsumer(
                group_id=None, auto_offset_reset="earliest", enable_auto_commit=False, **aiokafka_options(settings)
            )
            await consumer.start()
            try:
                await follow(consumer)
            finally:
                await consumer.stop()
        except KafkaError as error:
            _LOG.warning("topic cannot be read, trying again", extra={"topic": topic, "error": str(error)})
            await asyncio.sleep(1.0)


class ItemFollower:
    """Keeps an `ItemView` equal to `shop.item_embeddings.v1`: reads it from the beginning, then follows it."""

    def __init__(
        self, settings: KafkaSettings, topic: str, view: ItemView, on_change: Callable[[int], object] = lambda _: None
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._view = view
        self._on_change = on_change
        self.ready = asyncio.Event()
        """Set when what the topic held at the start has been read."""

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited for."""
        await keep_following(self._settings, self._follow, self._topic)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        partitions = [TopicPartition(self._topic, number) for number in range(self._settings.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while True:
            self._apply(await consumer.getmany(timeout_ms=500, max_records=500))
            if not self.ready.is_set():
                positions = [await consumer.position(partition) >= ends[partition] for partition in partitions]
                if all(positions):
                    self.ready.set()
            await asyncio.sleep(0)  # a big catalogue must not hold up the pages

    def _apply(self, fetched: dict[TopicPartition, list[object]]) -> None:
        for records in fetched.values():
            for record in records:
                try:
                    self._view.apply(record.key, record.value)  # type: ignore[attr-defined]
                except (ContractError, ValueError) as error:
                    _LOG.warning("item record skipped", extra={"error": str(error)})
                except Exception:  # noqa: BLE001 - one product must not end the view of all others
                    _LOG.exception("item record skipped")
        if fetched:
            self._on_change(len(self._view.cards))

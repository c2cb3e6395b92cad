"""Composition root of the worker and the only place that knows Faust.

Faust owns membership, partitions, the session table and its recovery. The agents read their stream's queue instead of
iterating the stream, since the iterator acknowledges events of an old generation without processing them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import faust
from prometheus_client import CollectorRegistry

from contracts.errors import ConfigurationError
from contracts.kafka_client import password, servers, ssl_context
from contracts.settings import KafkaSettings, Settings, resolve
from contracts.topics import CATALOG, DEAD_LETTERS, ERASURES, EVENTS, ITEM_EMBEDDINGS, PAGES
from monitoring.metrics import WorkerMetrics
from streams.batch import Incoming
from streams.delivery import Delivery
from streams.inference import InferenceClient
from streams.items import ItemView
from streams.kafka import ItemFollower, KafkaLog
from streams.ports import Record
from streams.refresh import Refresher
from streams.sessions import SessionState, decode_state, is_expired
from streams.triton import TritonRanker

_LOG = logging.getLogger(__name__)
FAUST_VERSION = "0.15.3"
_SWEEP_CHUNK = 500


class SystemClock:
    """`streams.ports.Clock` of this machine."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()


class FaustSource:
    """`streams.contiguity.EventSource` on a Faust stream's queue."""

    def __init__(self, app: faust.App, stream: Any) -> None:
        self._app = app
        self._queue = stream.channel.queue
        self._topic = stream.channel.get_topic_name()

    def generation(self) -> int:
        """Generation of the consumer group."""
        return int(self._app.consumer_generation_id)

    def is_current(self, incoming: Incoming) -> bool:
        """Whether the record was fetched in this generation and the flow is on."""
        return bool(self._app.flow_control.is_active()) and incoming.token.generation_id == self._app.consumer_generation_id

    async def committed(self, partition: int) -> int:
        """Ask the broker: Faust's own cache is empty for a new partition, and holds None for a stored 0."""
        tp = faust.types.TP(self._topic, partition)
        thread = self._app.consumer._thread  # noqa: SLF001 - checked at start by check_faust
        offset = await thread.call_thread(thread._ensure_consumer().committed, tp)  # noqa: SLF001
        if offset is None:
            return int((await self._app.consumer.earliest_offsets(tp))[tp])
        return int(offset)

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition from `offset` again."""
        tp = faust.types.TP(self._topic, partition)
        if tp in self._app.consumer.assignment():
            await self._app.consumer.seek(tp, offset)

    def acknowledge(self, incoming: Incoming) -> None:
        """Hand the message to Faust, which commits what is contiguous."""
        message, consumer = incoming.token, self._app.consumer
        if not message.tracked:
            message.tracked = True
            consumer.unacked.add(message)
        message.ack(consumer)

    async def next(self, most: int) -> list[Incoming]:
        """Wait for one record and take what else is there, at most `most`; no timer."""
        taken = [_incoming(await self._queue.get())]
        while len(taken) < most and not self._queue.empty():
            taken.append(_incoming(self._queue.get_nowait()))
        return taken


def _incoming(event: Any) -> Incoming:
    message = event.message
    return Incoming(
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=int(message.timestamp * 1000),
        headers=_headers(message.headers),
        token=message,
    )


def _headers(headers: Any) -> tuple[tuple[str, bytes], ...]:
    if not headers:
        return ()
    return tuple(headers.items() if isinstance(headers, dict) else headers)


class FaustTable:
    """`streams.delivery.SessionTable` on a Faust table in memory.

    `table[k] = v` would write the changelog itself, to the partition of the *current event*; the store is set directly
    and the changelog record is written, and awaited, by the delivery.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        """Stored state of a visitor."""
        value: bytes | None = self._table.data.get(key)
        return value

    def put(self, key: bytes, value: bytes, partition: int) -> None:
        """Store in memory."""
        self._table.data[key] = value
        self._table.data._key_partition[key] = partition  # noqa: SLF001 - recovery drops partitions by it

    def remove(self, key: bytes) -> None:
        """Forget in memory."""
        self._table.data.data.pop(key, None)
        self._table.data._key_partition.pop(key, None)  # noqa: SLF001

    def entries(self) -> list[tuple[bytes, bytes, int]]:
        """(key, value, partition) of every session held."""
        partitions = self._table.data._key_partition  # noqa: SLF001
        return [(key, value, partitions[key]) for key, value in list(self._table.data.data.items()) if value]

    def changelog(self, key: bytes, value: bytes | None, partition: int) -> Record:
        """The changelog record of a change."""
        return Record(self._table.changelog_topic_name, key, value, partition)


def check_faust() -> None:
    """The worker leans on private names of one release.

    Raises:
        ConfigurationError: if another version of faust-streaming is installed.
    """
    if faust.__version__ != FAUST_VERSION:
        message = f"faust-streaming is {faust.__version__}, expected {FAUST_VERSION}: the worker uses its private names"
        raise ConfigurationError(message)


def _credentials(settings: KafkaSettings) -> Any:
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=password(settings),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _faust(settings: Settings, group: str) -> faust.App:
    worker = settings.worker
    data = resolve(worker.data_dir) / f"{group}-{worker.instance_id}"
    data.mkdir(parents=True, exist_ok=True)
    return faust.App(
        f"{settings.kafka.topic_prefix}{group}",
        broker=";".join(f"kafka://{server}" for server in servers(settings.kafka)),
        broker_credentials=_credentials(settings.kafka),
        datadir=str(data),
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        producer_acks=-1,
        broker_commit_interval=worker.commit_interval_seconds,
        broker_session_timeout=worker.session_timeout_seconds,
        broker_heartbeat_interval=worker.session_timeout_seconds / 4,
        broker_request_timeout=max(10.0, worker.session_timeout_seconds + 4),
        broker_max_poll_interval=60.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{group}-{worker.instance_id}",
        # Safe because output is idempotent: what was not acknowledged is processed again.
        stream_wait_empty=False,
        stream_buffer_maxsize=1024,
        topic_partitions=settings.kafka.partitions,
        topic_replication_factor=settings.kafka.replication_factor,
        topic_disable_leader=True,
        table_standby_replicas=0,
    )


class EventsWorker:
    """Events to pages: wires Faust, Triton, Kafka and metrics together.

    Args:
        settings: all settings.
        registry: where the metrics go.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        check_faust()
        self.settings = settings
        self.metrics = WorkerMetrics.create(registry)
        self.clock = SystemClock()
        self.view = ItemView()
        prefix = settings.kafka.topic_prefix
        self.app = _faust(settings, settings.worker.group)
        self.log = KafkaLog(settings.kafka)
        self.follower = ItemFollower(settings.kafka, prefix + ITEM_EMBEDDINGS, self.view, self.metrics.item_view_size.set)
        self.table = self.app.Table(
            "sessions", key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions, help="visitor states"
        )
        self.delivery: Delivery | None = None
        self._client: InferenceClient | None = None
        events = self.app.topic(prefix + EVENTS, key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions)
        erasures = self.app.topic(prefix + ERASURES, key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions)
        self.app.agent(events, name="refresh")(self._refresh)
        self.app.agent(erasures, name="erase")(self._erase)
        self.app.timer(settings.session.sweep_seconds)(self._sweep)
        self.app.timer(1.0)(self._observe)

    def _delivery(self, stream: Any) -> Delivery:
        prefix, settings = self.settings.kafka.topic_prefix, self.settings
        self._client = InferenceClient(settings.triton.grpc_address)
        refresher = Refresher(
            ranker=TritonRanker(self._client, settings.triton, self.metrics.breaker_open.set),
            view=self.view,
            clock=self.clock,
            session=settings.session,
            page=settings.page,
            pages_topic=prefix + PAGES,
            metrics=self.metrics,
        )
        return Delivery(
            source=FaustSource(self.app, stream),
            table=FaustTable(self.table),
            log=self.log,
            refresher=refresher,
            settings=settings,
            metrics=self.metrics,
            clock=self.clock,
            events_topic=prefix + EVENTS,
            dead_letter_topic=prefix + DEAD_LETTERS,
        )

    async def _refresh(self, stream: Any) -> None:
        """The agent of the events topic."""
        await self.log.start()
        follower = asyncio.create_task(self.follower.run())
        try:
            await self.follower.ready.wait()
            self.delivery = self._delivery(stream)
            await self.delivery.run(lambda: bool(self.app.should_stop))
        finally:
            follower.cancel()
            await self.log.stop()

    async def _erase(self, stream: Any) -> None:
        """The agent of the erasures topic: forget the visitor's state and page, then acknowledge."""
        source = FaustSource(self.app, stream)
        pages = self.settings.kafka.topic_prefix + PAGES
        while not self.app.should_stop:
            for incoming in await source.next(64):
                while self.delivery is None:
                    await asyncio.sleep(0.05)
                if source.is_current(incoming) and incoming.key is not None:
                    tombstone = Record(pages, incoming.key, None)
                    if await self.delivery.remove([(incoming.key, incoming.partition)], [tombstone]) is not None:
                        self.metrics.erased.inc()
                        source.acknowledge(incoming)

    async def _sweep(self) -> None:
        """Expire sessions by the event time of their tenant and partition; a tombstone each."""
        delivery = self.delivery
        if delivery is None:
            return
        expired = []
        for index, (key, value, partition) in enumerate(delivery.table.entries()):
            if self._is_expired(key, decode_state(value)):
                expired.append((key, partition))
            if index % 2000 == 1999:
                await asyncio.sleep(0)
        for start in range(0, len(expired), _SWEEP_CHUNK):
            chunk = expired[start : start + _SWEEP_CHUNK]
            removed = await delivery.remove(chunk, unless=lambda key, state: not self._is_expired(key, state))
            self.metrics.expired.inc(removed)

    def _is_expired(self, key: bytes, state: SessionState) -> bool:
        """By the highest event time of the visitor's tenant and partition, so that a replay keeps its own clock."""
        clock = (state.partition, key.partition(b"|")[0].decode())
        watermark = self.delivery.watermarks.get(clock) if self.delivery is not None else None
        return watermark is not None and is_expired(state, watermark, self.settings.session)

    async def _observe(self) -> None:
        """Gauges once a second."""
        self.metrics.sessions.set(len(self.table.data))
        if self.delivery is None:
            return
        topic = self.settings.kafka.topic_prefix + EVENTS
        for partition, offset in self.delivery.positions().items():
            highwater = self.app.consumer.highwater(faust.types.TP(topic, partition))
            if highwater is not None:
                self.metrics.lag_messages.labels(EVENTS, str(partition)).set(max(0, highwater - offset))

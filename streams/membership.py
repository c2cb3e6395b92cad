"""Faust at arm's length: the app's settings, its streams as sources, its table as session table, and its lag.

With `streams/faust_consumer.py`, `streams/faust_store.py` and `streams/run.py` the only module that imports Faust; everything
private that is used of it is used in the first three.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import faust
from aiokafka.errors import KafkaError

from contracts.errors import BrokerUnavailable, ConfigurationError
from contracts.kafka_client import password, servers, ssl_context
from contracts.settings import KafkaSettings, Settings, resolve
from streams.batch import Incoming
from streams.faust_consumer import PassingConsumer
from streams.faust_store import STORE_URL
from streams.lease import Lease
from streams.ports import Record

FAUST_VERSION = "0.15.3"
_LOG = logging.getLogger(__name__)
_MOST_LAPSES = 1_000_000  # so that generation and lapses fit in one number


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


def faust_app(settings: Settings, group: str) -> faust.App:
    """A Faust app of the group with the settings that the delivery relies on; see docs/architecture.md."""
    worker = settings.worker
    data = resolve(worker.data_dir) / f"{group}-{worker.instance_id}"
    data.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.kafka.topic_prefix}{group}",
        broker=";".join(f"kafka://{server}" for server in servers(settings.kafka)),
        broker_credentials=_credentials(settings.kafka),
        datadir=str(data),
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        store=STORE_URL,
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
        topic_allow_declare=not settings.stack.secure,  # there only the administrator may make topics
        table_standby_replicas=0,
    )
    transport: Any = app.transport
    transport.Consumer = PassingConsumer
    _tell_of_rebalances(app)
    return app


def _tell_of_rebalances(app: faust.App) -> None:
    """Log which partitions came, and when their state is here: what lies between is the pause that visitors notice."""

    async def came(_: Any, /, *assigned: Any, **__: Any) -> None:
        places: defaultdict[str, list[int]] = defaultdict(list)
        for tp in sorted(assigned[0]):
            places[tp.topic].append(tp.partition)
        _LOG.info("partitions came", extra={"generation": app.consumer_generation_id, "partitions": dict(places)})

    async def here(*_: Any, **__: Any) -> None:
        _LOG.info("the state of the partitions is here", extra={"generation": app.consumer_generation_id})

    app.on_partitions_assigned.connect(came)
    app.on_rebalance_complete.connect(here)


def is_settled(app: faust.App) -> bool:
    """Whether no rebalance goes on, up to Faust's own word that the worker is ready, and records flow."""
    return not app.rebalancing and bool(app.flow_control.is_active())


class FaustSource:
    """`streams.contiguity.EventSource` on a Faust stream's queue.

    Args:
        app: whose consumer it is.
        stream: of the agent.
        lease: when it lapses, what is in flight is dropped and everything that is not committed is read again.
    """

    def __init__(self, app: faust.App, stream: Any, lease: Lease) -> None:
        self._app = app
        self._lease = lease
        self._lapses = lease.lapses
        self._queue = stream.channel.queue
        self._topic = stream.channel.get_topic_name()

    def generation(self) -> int:
        """Changes with the generation of the consumer group, and with every lapse of the lease."""
        self._lease.holds()
        return int(self._app.consumer_generation_id) * _MOST_LAPSES + self._lease.lapses

    def is_current(self, incoming: Incoming) -> bool:
        """Whether the record was fetched in this generation and the flow is on."""
        return bool(self._app.flow_control.is_active()) and incoming.token.generation_id == self._app.consumer_generation_id

    async def committed(self, partition: int) -> int:
        """Ask the broker: Faust's own cache is empty for a new partition, and holds None for a stored 0.

        Raises:
            BrokerUnavailable: it did not answer.
        """
        tp = faust.types.TP(self._topic, partition)
        consumer: Any = self._app.consumer
        thread = consumer._thread  # noqa: SLF001 - checked at start by check_faust
        with _broker_errors():
            offset = await thread.call_thread(thread._ensure_consumer().committed, tp)  # noqa: SLF001
            if offset is None:
                return int((await self._app.consumer.earliest_offsets(tp))[tp])
        return int(offset)

    async def end(self, partition: int) -> int:
        """Ask the broker which offset the next record will get.

        Raises:
            BrokerUnavailable: it did not answer.
        """
        tp = faust.types.TP(self._topic, partition)
        with _broker_errors():
            return int((await self._app.consumer.highwaters(tp))[tp])

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
        """Wait for one record and take what else is there, at most `most`; no timer. Empty when Faust stops."""
        try:
            taken = [_incoming(await self._queue.get())]
        except StopAsyncIteration:
            await asyncio.sleep(0.05)
            return []
        while len(taken) < most and not self._queue.empty():
            taken.append(_incoming(self._queue.get_nowait()))
        await self.renew()
        return taken

    async def renew(self) -> None:
        """After a lapse wait for the lease, then go back to what is committed, since what was in flight was dropped."""
        if self._lease.holds() and self._lease.lapses == self._lapses:
            return
        while not self._lease.holds():  # noqa: ASYNC110 - the end is a matter of time
            await asyncio.sleep(0.05)
        self._lapses = self._lease.lapses
        _LOG.warning("the worker stood still and reads again", extra={"topic": self._topic, "lapses": self._lapses})
        for tp in self._app.consumer.assignment():
            if tp.topic == self._topic:
                await self.seek(tp.partition, await self.committed(tp.partition))


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        message = f"the broker did not answer: {type(error).__name__}: {error}"
        raise BrokerUnavailable(message) from error


def _incoming(event: Any) -> Incoming:
    message = event.message
    return Incoming(
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=round(message.timestamp * 1000),  # Faust divides the broker's milliseconds
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

    def keys(self) -> list[bytes]:
        """Keys of everything held."""
        return list(self._table.data.data)

    def changelog(self, key: bytes, value: bytes | None, partition: int) -> Record:
        """The changelog record of a change."""
        return Record(self._table.changelog_topic_name, key, value, partition)


def lags(app: faust.App, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
    """Records of each partition that are not done."""
    lags = {}
    for partition, offset in positions.items():
        tp = faust.types.TP(topic, partition)
        highwater = app.consumer.highwater(tp) if tp in app.consumer.assignment() else None
        lags[partition] = max(0, highwater - offset) if highwater is not None else 0
    return lags


def left_to_recover(app: faust.App) -> int | None:
    """Records of the tables' changelogs that are still to be read back; None when the tables are whole.

    Faust calls its flow active meanwhile, and its timers wait.
    """
    tables: Any = app.tables
    recovery = tables.recovery
    if not recovery.in_recovery:
        return None
    try:
        return int(recovery.active_remaining_total())
    except RuntimeError:  # the event loop put a partition in while this thread counted
        return 0

"""Records to the broker: acknowledged by all replicas or refused, bounded in number and time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from contracts.errors import BrokerUnavailable
from contracts.kafka_client import aiokafka_options
from contracts.settings import KafkaSettings
from gateway.ingest import Outgoing
from gateway.metrics import GatewayMetrics

_LOG = logging.getLogger(__name__)
_LINGER_MS = 0  # records that come while a request is under way are batched by that alone
_RETRY_SECONDS = 0.25
_RETRY_MAX_SECONDS = 2.0
_PROBE_SECONDS = 2.0

Headers = Sequence[tuple[str, bytes]]


class Publish(Protocol):
    """Where the routes send records."""

    async def publish(self, topic: str, records: Sequence[Outgoing], headers: Headers = ()) -> None:
        """Write all records, in order per key; return when the broker has acknowledged every one.

        Args:
            topic: name without the prefix of the settings.
            records: what to write.
            headers: put on every record.

        Raises:
            BrokerUnavailable: if any was not acknowledged in time; some of them may be written all the same.
        """
        ...

    async def is_reachable(self) -> bool:
        """Whether the broker answers now."""
        ...


class KafkaPublisher:
    """The real :class:`Publish`, over one idempotent aiokafka producer.

    A broker that is away at start is tried again until it is there. `pending` counts records from the moment they are
    handed to the producer until it resolves them, also after a caller has given up; so memory stays bounded when the
    broker hangs.

    Args:
        kafka: the cluster.
        timeout_seconds: longest wait for the acknowledgement.
        pending_max: most records that wait at once.
        metrics: the gateway's metrics.
    """

    def __init__(self, kafka: KafkaSettings, timeout_seconds: float, pending_max: int, metrics: GatewayMetrics) -> None:
        self._kafka = kafka
        self._timeout = timeout_seconds
        self._pending_max = pending_max
        self._metrics = metrics
        self._producer: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._last_probe: tuple[float, bool] = (0.0, False)
        self.pending = 0
        metrics.pending.set_function(lambda: self.pending)

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Flush what is pending, as far as the broker takes it, and disconnect."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._producer is not None:
            await self._close(self._producer)
            self._producer = None
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _connect(self) -> None:
        pause = _RETRY_SECONDS
        while True:
            producer = AIOKafkaProducer(
                **aiokafka_options(self._kafka),
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                max_batch_size=262_144,
                max_request_size=4_194_304,
                request_timeout_ms=int(self._timeout * 1000),
                retry_backoff_ms=50,
                metadata_max_age_ms=60_000,
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await producer.stop()
                _LOG.warning("the broker is away, trying again", extra={"error": str(error)})
                await asyncio.sleep(pause)
                pause = min(_RETRY_MAX_SECONDS, pause * 2)
            else:
                self._producer = producer
                return

    async def publish(self, topic: str, records: Sequence[Outgoing], headers: Headers = ()) -> None:
        """See :class:`Publish`."""
        if not records:
            return
        if self._producer is None:
            message = "not connected to the broker"
            raise self._failed(message)
        if self.pending + len(records) > self._pending_max:
            message = f"{self.pending} records wait for the broker, the limit is {self._pending_max}"
            raise self._failed(message)
        topic = self._kafka.topic_prefix + topic
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = _Waiting(self, len(records))
        try:
            async with asyncio.timeout(self._timeout):
                for record in records:
                    waiting.add(await self._producer.send(topic, record.value, key=record.key, headers=list(headers)))
                await waiting.done
        except (TimeoutError, KafkaError, OSError) as error:
            left = f"{waiting.left} of {len(records)} records were not acknowledged"
            message = f"{left} within {self._timeout:g} s ({type(error).__name__})"
            raise self._failed(message, error) from error
        if waiting.cause is not None:
            message = f"{type(waiting.cause).__name__}: {waiting.cause}"
            raise self._failed(message, waiting.cause) from waiting.cause
        self._metrics.publish.observe(loop.time() - began)

    def _failed(self, reason: str, cause: BaseException | None = None) -> BrokerUnavailable:
        self._metrics.publish_failures.inc()
        if isinstance(cause, KafkaError) and not cause.retriable and not isinstance(cause, MessageSizeTooLargeError):
            self._renew(cause)
        return BrokerUnavailable(reason)

    def _renew(self, cause: KafkaError) -> None:
        """Replace a producer that the broker will refuse from now on.

        After a gap in its sequence, or when the broker has forgotten its number, an idempotent producer never gets
        another batch through; a new one starts a new sequence.
        """
        if self._producer is None:
            return
        _LOG.warning("the producer is replaced", extra={"error": f"{type(cause).__name__}: {cause}"})
        old, self._producer = self._producer, None
        self._connecting = asyncio.create_task(self._connect())
        closing = asyncio.create_task(self._close(old))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, producer: Any) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(producer.stop(), self._timeout)

    async def is_reachable(self) -> bool:
        """See :class:`Publish`; asks the broker at most every two seconds."""
        if self._producer is None:
            return False
        loop = asyncio.get_running_loop()
        asked_at, answer = self._last_probe
        if loop.time() - asked_at > _PROBE_SECONDS:
            try:
                async with asyncio.timeout(1.0):
                    await self._producer.client.fetch_all_metadata()
                answer = True
            except (TimeoutError, KafkaError, OSError):
                answer = False
            self._last_probe = (loop.time(), answer)
        return answer


class _Waiting:
    """The records of one call until all are resolved.

    One future stands for them, and only it is cancelled at the deadline: a cancelled future of a record would take its
    batch's bookkeeping along. It is also cheaper than asyncio.wait, which matters at thousands a second.
    """

    def __init__(self, publisher: KafkaPublisher, count: int) -> None:
        self._publisher = publisher
        self.left = count
        self.cause: BaseException | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, future: asyncio.Future[Any]) -> None:
        """Count a record from now until it is resolved, also when the caller has given up."""
        self._publisher.pending += 1
        future.add_done_callback(self._resolved)

    def _resolved(self, future: asyncio.Future[Any]) -> None:
        self._publisher.pending -= 1
        self.left -= 1
        if not future.cancelled():
            self.cause = future.exception() or self.cause
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)

"""Which server a worker asks: follows `shop.models.v1` and changes between two calls, never within one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.errors import ContractError, DependencyError, RankerUnavailable
from contracts.routes import KEY, PARTITION, Endpoint, Routes, decode_routes
from contracts.settings import KafkaSettings
from contracts.tensors import PAGE_RANKER_INPUTS
from monitoring.rollout_metrics import RolloutMetrics
from streams.kafka import keep_following
from streams.ports import Answer, Ranker, Tensors
from streams.shadow import Shadow

_LOG = logging.getLogger(__name__)
_POLL_MS = 500
_RETRY_SECONDS = 0.25


class Server(Protocol):
    """A ranker behind a channel of its own."""

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        ...

    async def close(self) -> None:
        """Close the channel."""
        ...


class _Held(NamedTuple):
    address: str
    server: Server


class RoutedRanker:
    """`streams.ports.Ranker` that asks the live server of the newest record.

    A call under way ends at the server where it began; the channel of the server before stays open until the next change.

    Args:
        home: `host:port` that is asked while there is no record.
        connect: makes a server of an address; the flag tells whether it answers visitors.
        shadow: is aimed at the record's shadow.
        metrics: of the versions.
    """

    def __init__(self, home: str, connect: Callable[[str, bool], Server], shadow: Shadow, metrics: RolloutMetrics) -> None:
        self._connect = connect
        self._live = _Held(home, connect(home, True))
        self._before: _Held | None = None
        self._beside: _Held | None = None
        self._shadow = shadow
        self._metrics = metrics

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        return await self._live.server.rank(tensors)

    async def apply(self, routes: Routes) -> None:
        """Carry out a record.

        Raises:
            DependencyError: its live server does not answer with the version that the record names; nothing changed.
        """
        if routes.live.address != self._live.address:
            fresh = _Held(routes.live.address, self._connect(routes.live.address, True))
            try:
                await _require_version(fresh.server, routes.live)
            except DependencyError:
                await fresh.server.close()
                raise
            gone, self._before, self._live = self._before, self._live, fresh
            await _close(gone)
        self._metrics.live_version.set(routes.live.version)
        await self._aim(routes)
        self._metrics.route_serial.set(routes.serial)

    async def _aim(self, routes: Routes) -> None:
        wanted, gone = routes.shadow, None
        if self._beside is not None and (wanted is None or wanted.address != self._beside.address):
            gone, self._beside = self._beside, None
        if wanted is None:
            self._shadow.aim(None)
        else:
            self._beside = self._beside or _Held(wanted.address, self._connect(wanted.address, False))
            self._shadow.aim(self._beside.server, wanted.version, routes.shadow_share)
        await _close(gone)

    async def close(self) -> None:
        """Close every channel."""
        for held in (self._live, self._before, self._beside):
            await _close(held)


async def _close(held: _Held | None) -> None:
    if held is not None:
        await held.server.close()


async def _require_version(server: Ranker, wanted: Endpoint) -> None:
    """One call of nobody: opens the channel before a visitor needs it, and tells which model is there."""
    nobody: dict[str, Any] = {
        spec.name: np.zeros([1, *(max(size, 1) for size in spec.shape[1:])], spec.numpy_dtype()) for spec in PAGE_RANKER_INPUTS
    }
    answer = await server.rank(nobody)
    if answer.model_version != wanted.version:
        message = f"the server at {wanted.address} answers with model {answer.model_version}, expected {wanted.version}"
        raise RankerUnavailable(message)


class RouteFollower:
    """Reads the newest record and has it carried out; tries again while a server does not answer.

    Args:
        settings: the cluster.
        topic: full name of the topic.
        apply: carries out a record, or raises `DependencyError`.
        on_failure: told when it could not be carried out.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        apply: Callable[[Routes], Awaitable[None]],
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._settings = settings
        self._partition = TopicPartition(topic, PARTITION)
        self._apply = apply
        self._on_failure = on_failure
        self._wanted: Routes | None = None
        self._is_done = True
        self.ready = asyncio.Event()
        """Set when what the topic held at the start has been read, and carried out or tried once."""

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited for."""
        await keep_following(self._settings, self._follow, self._partition.topic)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign([self._partition])
        await consumer.seek_to_beginning(self._partition)
        end = (await consumer.end_offsets([self._partition]))[self._partition]
        while True:
            timeout = _POLL_MS if self._is_done else int(_RETRY_SECONDS * 1000)
            fetched = await consumer.getmany(self._partition, timeout_ms=timeout)
            for record in fetched.get(self._partition, ()):
                self._read(record.key, record.value)
            if await consumer.position(self._partition) >= end:
                await self._carry_out()
                self.ready.set()

    def _read(self, key: bytes | None, value: bytes | None) -> None:
        if key != KEY or value is None:
            return
        try:
            self._wanted = decode_routes(value)
        except ContractError as error:
            _LOG.warning("model record skipped", extra={"error": str(error)})
        else:
            self._is_done = False

    async def _carry_out(self) -> None:
        if self._is_done or self._wanted is None:
            return
        try:
            await self._apply(self._wanted)
        except DependencyError as error:
            self._on_failure()
            _LOG.warning("the model cannot be changed yet", extra={"serial": self._wanted.serial, "error": str(error)})
        else:
            self._is_done = True
            _LOG.info("models changed", extra={"serial": self._wanted.serial, "live": self._wanted.live.version})

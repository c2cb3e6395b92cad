"""Composition root of the events worker: Faust, Triton, Kafka and metrics wired together.

Faust owns membership, partitions, the session table and its recovery. The agents read their stream's queue instead of
iterating the stream, since the iterator acknowledges events of an old generation without processing them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from itertools import islice
from typing import Any

from prometheus_client import CollectorRegistry

from contracts.errors import BrokerUnavailable
from contracts.settings import Settings
from contracts.topics import CHANGELOG_CONFIG, DEAD_LETTERS, ERASURES, EVENTS, ITEM_EMBEDDINGS, PAGES, SESSIONS
from monitoring.metrics import FeedbackMetrics, WorkerMetrics, published_sessions
from monitoring.rollout_metrics import RolloutMetrics
from monitoring.server import Health
from streams.delivery import Delivery
from streams.erasure import Eraser
from streams.feedback import Feedback
from streams.forgetting import Forgetting
from streams.items import ItemView
from streams.kafka import ItemFollower, KafkaLog
from streams.learning import SessionPublisher
from streams.lease import Lease
from streams.liveness import Readiness, SystemClock
from streams.membership import FaustSource, FaustTable, check_faust, faust_app, is_settled, lags, left_to_recover
from streams.refresh import Refresher
from streams.sessions import IDS_PREFIX, SessionState, decode_state, is_expired
from streams.versions import Versions

_LOG = logging.getLogger(__name__)
_SWEEP_CHUNK = 500
_WARM_SESSIONS = 5_000  # tens of milliseconds of a restart
_ERASE_AGAIN_SECONDS = 1.0
_DROP_IDS_SECONDS = 900.0
_CLOCKS_APART_MS = 3_600_000  # the broker's clock, by which ids count, and this machine's


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
        self.lease = Lease(settings.worker.session_timeout_seconds, self.clock.monotonic)
        self.view = ItemView()
        secret = settings.page.signing_secret.get_secret_value().encode()
        self.feedback = Feedback(self.view, FeedbackMetrics.create(registry), secret)
        prefix = settings.kafka.topic_prefix
        self.app = faust_app(settings, settings.worker.group)
        self.log = KafkaLog(settings.kafka, apart=[prefix + PAGES])  # a page does not wait for sessions or dead letters
        self.follower = ItemFollower(settings.kafka, prefix + ITEM_EMBEDDINGS, self.view, self.metrics.item_view_size.set)
        self.table = self.app.Table(
            "sessions",
            key_type=bytes,
            value_type=bytes,
            partitions=settings.kafka.partitions,
            help="visitor states",
            extra_topic_configs=CHANGELOG_CONFIG,
        )
        counted = published_sessions(registry)
        self.sessions = SessionPublisher(
            self.log,
            prefix + SESSIONS,
            self.view.cards.__contains__,
            lambda outcome, number: counted.labels(outcome).inc(number),
            learns=settings.model.learn,
        )
        self.delivery: Delivery | None = None
        self._at_rest = 0
        self._ids_dropped = self.clock.monotonic()
        self.readiness = Readiness(self.clock.monotonic())
        self._rollout = RolloutMetrics.create(registry)
        self._source: FaustSource | None = None
        self._helpers: list[asyncio.Task[None]] = []
        events = self.app.topic(prefix + EVENTS, key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions)
        erasures = self.app.topic(prefix + ERASURES, key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions)
        self.app.agent(events, name="refresh")(self._refresh)
        self.app.agent(erasures, name="erase")(self._erase)
        self.app.timer(settings.session.sweep_seconds)(self._sweep)
        self.app.timer(settings.session.publish_seconds)(self.sessions.publish)
        self.app.timer(1.0)(self._observe)

    def _delivery(self, stream: Any, versions: Versions) -> Delivery:
        prefix, settings = self.settings.kafka.topic_prefix, self.settings
        self._source = FaustSource(self.app, stream, self.lease)
        refresher = Refresher(
            ranker=versions.ranker,
            view=self.view,
            clock=self.clock,
            session=settings.session,
            page=settings.page,
            pages_topic=prefix + PAGES,
            metrics=self.metrics,
            on_ranked=versions.on_ranked,
            slow_seconds=settings.triton.ranker_slow_share * settings.triton.ranker_deadline_ms / 1000,
        )
        memory: Any = self.table.data
        held = memory.data
        values = (held[key] for key in islice(held, _WARM_SESSIONS) if not key.startswith(IDS_PREFIX))
        refresher.ladder.warm(decode_state(value) for value in values)
        return Delivery(
            source=self._source,
            table=self.sessions.noting(FaustTable(self.table)),
            log=self.log,
            refresher=refresher,
            settings=settings,
            metrics=self.metrics,
            clock=self.clock,
            events_topic=prefix + EVENTS,
            dead_letter_topic=prefix + DEAD_LETTERS,
            on_told=self.feedback.observe,
        )

    async def _refresh(self, stream: Any) -> None:
        """The agent of the events topic."""
        await self.log.start()
        versions = Versions(self.settings, self._rollout, self.clock, self.metrics.breaker_open.set)
        tasks = [asyncio.create_task(work) for work in (self.follower.run(), versions.run(), self.lease.keep())]
        self._helpers = tasks
        try:
            await self.follower.ready.wait()
            await versions.follower.ready.wait()
            self.delivery = self._delivery(stream, versions)
            gc.freeze()  # the catalogue lives long: looking through it for garbage would hold up pages now and then
            await self.delivery.run(lambda: bool(self.app.should_stop))
        finally:
            for task in tasks:
                task.cancel()
            await versions.ranker.close()
            await self.log.stop()

    async def _erase(self, stream: Any) -> None:
        """The agent of the erasures topic: carry out the requests one after the other, each until it is done."""
        source = FaustSource(self.app, stream, self.lease)
        while not self.app.should_stop:
            for incoming in await source.next(64):
                while self.delivery is None or self._source is None:  # noqa: ASYNC110 - once, in the first second
                    await asyncio.sleep(0.05)
                prefix = self.settings.kafka.topic_prefix
                forgetting = Forgetting(self.delivery)
                eraser = Eraser(forgetting, prefix, self.clock, self._source, source.is_current, self.sessions.forget)
                while source.is_current(incoming):
                    try:
                        if await eraser.erase(incoming):
                            self.metrics.erased.inc(incoming.value is not None)
                            source.acknowledge(incoming)
                            break
                    except BrokerUnavailable as error:
                        _LOG.warning("an erasure failed and is tried again", extra={"error": str(error)})
                    await asyncio.sleep(_ERASE_AGAIN_SECONDS)

    async def _sweep(self) -> None:
        """Expire sessions and event ids; Faust ends the process when a timer raises, so a broker that is away must not."""
        try:
            await self._expire()
        except BrokerUnavailable as error:
            _LOG.warning("sessions were not swept, the next sweep does it", extra={"error": str(error)})

    async def _expire(self) -> None:
        """Expire sessions by the event time of their tenant and partition, and event ids by the clock."""
        delivery = self.delivery
        if delivery is None:
            return
        expired, at_rest = [], 0
        for index, key in enumerate(delivery.table.keys()):
            value = None if key.startswith(IDS_PREFIX) else delivery.table.get(key)
            at_rest += value is None
            if value is not None and self._is_expired(key, state := decode_state(value)):
                expired.append((key, state.partition))
            if index % 50 == 49:  # an event waits for as many states to be read, a millisecond
                await asyncio.sleep(0)
        forgetting = Forgetting(delivery)
        for start in range(0, len(expired), _SWEEP_CHUNK):
            ended = await forgetting.expire(expired[start : start + _SWEEP_CHUNK], self._is_expired)
            self.sessions.ended(ended)
            self.metrics.expired.inc(len(ended))
            at_rest += len(ended)
        self._at_rest = at_rest
        await self._drop_ids(forgetting)

    async def _drop_ids(self, forgetting: Forgetting) -> None:
        """Looking through all of them costs seconds of a large shop, so it is done now and then."""
        session, now = self.settings.session, self.clock.monotonic()
        if now - self._ids_dropped < _DROP_IDS_SECONDS and self._at_rest <= session.remembered_visitors:
            return
        self._ids_dropped = now
        before = self.clock.wall_ms() - int(session.duplicate_seconds * 1000) - _CLOCKS_APART_MS
        self._at_rest -= await forgetting.drop_ids(before, session.remembered_visitors)

    def _is_expired(self, key: bytes, state: SessionState) -> bool:
        """By the highest event time of the visitor's tenant and partition, so that a replay keeps its own clock."""
        clock = (state.partition, key.partition(b"|")[0].decode())
        watermark = self.delivery.watermarks.get(clock) if self.delivery is not None else None
        return watermark is not None and is_expired(state, watermark, self.settings.session)

    async def _observe(self) -> None:
        """Gauges once a second."""
        try:
            await self._look()
        except BrokerUnavailable as error:  # as in _sweep
            _LOG.warning("the broker does not tell where the worker is", extra={"error": str(error)})

    async def _look(self) -> None:
        self.metrics.sessions.set(max(0, len(self.table.data) - self._at_rest))
        if self.delivery is None:
            return
        if self._source is not None:
            await self._source.renew()  # `next` does it too, but only when a record comes
        await self.delivery.nudge()
        positions = self.delivery.positions()
        waiting = lags(self.app, self.settings.kafka.topic_prefix + EVENTS, positions)
        self.metrics.lag_messages.clear()  # a partition that moved away would keep its last figure
        for partition, lag in waiting.items():
            self.metrics.lag_messages.labels(EVENTS, str(partition)).set(lag)
        self.readiness.movement.observe(self.clock.monotonic(), sum(positions.values()), sum(waiting.values()))

    def health(self) -> Health:
        """See `streams.run.Role`."""
        ended = [task for task in self._helpers if task.done() and not task.cancelled()]
        if ended:  # they run for ever: without one of them pages go on with an old catalogue, or by an old version
            return Health(healthy=False, detail=f"a task of the worker ended: {ended[0].exception()!r}")
        now = self.clock.monotonic()
        if self.delivery is None:  # until then Faust's parts are not looked at: each is made by whoever asks for it first
            return self.readiness.preparing(now, len(self.view.cards), "waiting for partitions and the catalogue")
        generation, left = self.app.consumer_generation_id, left_to_recover(self.app)
        if left is not None:
            return self.readiness.preparing(now, (generation, left), f"reading sessions back, {left} records left")
        if generation < 0 or not is_settled(self.app):
            return self.readiness.preparing(now, generation, "waiting for partitions")
        return self.readiness.ready(now)

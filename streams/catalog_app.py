"""Composition root of the catalogue worker: the agent of `shop.catalog.v1`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from prometheus_client import CollectorRegistry

from contracts.settings import Settings
from contracts.topics import CATALOG, MODELS
from monitoring.metrics import CatalogMetrics
from monitoring.server import Health
from streams.catalog import CatalogAgent, catalog_agent
from streams.contiguity import Contiguity
from streams.encoder_client import RoutedEncoder
from streams.kafka import KafkaLog
from streams.lease import Lease
from streams.liveness import Readiness, SystemClock
from streams.membership import FaustSource, check_faust, faust_app, is_settled, lags
from streams.routes import RouteFollower

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


class CatalogWorker:
    """Catalogue records to embeddings: the agent of `shop.catalog.v1`.

    Args:
        settings: all settings.
        registry: where the metrics go.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        check_faust()
        self.settings = settings
        self.metrics = CatalogMetrics.create(registry)
        self.clock = SystemClock()
        self.readiness = Readiness(self.clock.monotonic())
        self.app = faust_app(settings, settings.catalog.group)
        self.log = KafkaLog(settings.kafka)
        self._contiguity: Contiguity | None = None
        catalog = self.app.topic(
            settings.kafka.topic_prefix + CATALOG, key_type=bytes, value_type=bytes, partitions=settings.kafka.partitions
        )
        self.app.agent(catalog, name="encode")(self._encode)
        self.app.timer(1.0)(self._observe)

    async def _encode(self, stream: Any) -> None:
        """The agent: encode in batches, write, acknowledge; a batch that fails is read again."""
        await self.log.start()
        encoder = RoutedEncoder(self.settings.triton)
        agent = catalog_agent(self.settings, self.metrics, encoder)
        models = RouteFollower(self.settings.kafka, self.settings.kafka.topic_prefix + MODELS, encoder.apply)
        lease = Lease(self.settings.worker.session_timeout_seconds, self.clock.monotonic)
        tasks = [asyncio.create_task(work) for work in (lease.keep(), models.run())]
        source = FaustSource(self.app, stream, lease)
        self._contiguity = Contiguity(source, self.clock.monotonic, allow_gaps=True)
        try:
            while not self.app.should_stop:
                await self._one(agent, source, self._contiguity)
        finally:
            for task in tasks:
                task.cancel()
            await self.log.stop()

    async def _one(self, agent: CatalogAgent, source: FaustSource, contiguity: Contiguity) -> None:
        records = await source.next(self.settings.catalog.batch_max)
        contiguity.renewed()
        try:
            taken = await contiguity.take(records)
            if taken:
                started = self.clock.monotonic()
                await self.log.write(await agent.process(taken))
                contiguity.done(taken)
                self.metrics.batch_size.observe(len(taken))
                self.metrics.encode.observe(self.clock.monotonic() - started)
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is read again and nothing is lost
            _LOG.warning("a catalogue batch failed and is read again", extra={"error": f"{type(error).__name__}: {error}"})
            self.metrics.errors.labels(type(error).__name__).inc()
            await contiguity.restart()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _observe(self) -> None:
        """How far the agent is, once a second."""
        if self._contiguity is not None:
            await self._contiguity.nudge()
            positions = self._contiguity.positions()
            waiting = lags(self.app, self.settings.kafka.topic_prefix + CATALOG, positions)
            self.readiness.movement.observe(self.clock.monotonic(), sum(positions.values()), sum(waiting.values()))

    def health(self) -> Health:
        """See `streams.run.Role`; waiting for the encoder is not progress."""
        now = self.clock.monotonic()
        if self._contiguity is None or not is_settled(self.app):
            return self.readiness.preparing(now, self._contiguity is None, "waiting for partitions")
        return self.readiness.ready(now)

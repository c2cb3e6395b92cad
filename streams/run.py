"""Starts the worker of the configured role under Faust's runner, with metrics and an honest health answer."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import NoReturn, Protocol

import faust
import uvloop
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from contracts.settings import Settings
from monitoring.server import Health, serve

_LOG = logging.getLogger(__name__)
_STOP_PATIENCE_SECONDS = 8.0
_EX_TEMPFAIL = 75


class Runner(faust.Worker):
    """Faust's runner with an end: it waits for ever for a broker that is gone.

    Whatever is not acknowledged by then is processed again after the next start.
    """

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        timer = threading.Timer(_STOP_PATIENCE_SECONDS, os._exit, (_EX_TEMPFAIL,))
        timer.daemon = True
        timer.start()
        super()._schedule_shutdown(signal)

    async def _sentinel_task(self) -> None:
        """Faust waits one more second here, when everything has ended."""


class Role(Protocol):
    """What every worker has: a Faust app, and a word on its health."""

    app: faust.App

    def health(self) -> Health:
        """Healthy when it has its partitions and does not stand still while records wait; asked from another thread."""
        ...


def build(settings: Settings, registry: CollectorRegistry) -> Role:
    """The worker of the configured role; each role loads only what it needs."""
    if settings.worker.role == "catalog":
        from streams.catalog_app import CatalogWorker  # noqa: PLC0415 - brings Pillow, 10 MB

        return CatalogWorker(settings, registry)
    from streams.app import EventsWorker  # noqa: PLC0415

    return EventsWorker(settings, registry)


def run(settings: Settings) -> NoReturn:
    """Run until a signal; ends the process.

    Raises:
        ConfigurationError: the metrics address is taken, or another Faust is installed.
    """
    uvloop.install()
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    worker = build(settings, registry)
    serve(settings.worker.metrics_address, registry, worker.health, setting="VITRINE_WORKER__METRICS_ADDRESS")
    _LOG.info("worker starts", extra={"role": settings.worker.role, "instance": settings.worker.instance_id})
    Runner(worker.app, redirect_stdouts=False, override_logging=False).execute_from_commandline()

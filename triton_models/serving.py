"""Composition root of the models' processes: what the shims in `repository/` open."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from contracts.errors import ContractError
from contracts.settings import Settings
from contracts.tensors import Timing
from contracts.topics import ITEM_EMBEDDINGS, SESSIONS
from monitoring.server import Health, serve
from triton_models.artefact import model_folder
from triton_models.follower import ItemFollower
from triton_models.learning import warm
from triton_models.metrics import IndexMetrics, LearningMetrics, RankerMetrics
from triton_models.servable_encoder import ItemEncoder
from triton_models.servable_ranker import PageRanker
from triton_models.session_follower import SessionFollower

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 5.0  # a broker that does not answer in this time is away: serve without items and keep trying
CATCH_UP_SECONDS = 60.0
SWITCH_SECONDS = 0.0005
MAX_AGE_SECONDS = 30.0
_PARTS = tuple(timing.name.lower() for timing in Timing)


class MeasuredRanker:
    """The ranker with its metrics."""

    def __init__(self, ranker: PageRanker, metrics: RankerMetrics) -> None:
        self._ranker = ranker
        self._metrics = metrics
        self._parts = [metrics.duration.labels(part) for part in _PARTS]

    def rank(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See `PageRanker.rank`."""
        try:
            outputs = self._ranker.rank(inputs)
        except ContractError:
            self._metrics.refused.inc()
            raise
        self._metrics.rows.observe(len(outputs["items"]))
        for part, microseconds in zip(self._parts, outputs["timing"].tolist(), strict=True):
            part.observe(microseconds / 1e6)
        return outputs


@dataclass(frozen=True)
class ServedRanker:
    """`page_ranker` and what runs beside it."""

    model: MeasuredRanker
    close: Callable[[], None]


@dataclass(frozen=True)
class ServedEncoder:
    """`item_encoder`."""

    model: ItemEncoder
    close: Callable[[], None]


def open_ranker() -> ServedRanker:
    """Load the ranker, follow the item topic, and return when the index has what the topic held at the start.

    Without a broker it returns after `CONNECT_SECONDS` with an empty index, and fills it when the broker comes.

    Raises:
        ConfigurationError: a setting or a file of the model is wrong.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # the follower says once what the client says at every try
    # The follower's thread must let a request in soon; CPython's own interval is ten times a request.
    sys.setswitchinterval(SWITCH_SECONDS)
    settings, registry = Settings(), CollectorRegistry()
    ranker = PageRanker.open(model_folder(), settings.model.index, settings.model.learn_sessions)
    ranker.warm()
    topic = settings.kafka.topic_prefix + ITEM_EMBEDDINGS
    follower = ItemFollower(settings.kafka, topic, ranker.items, ranker.manifest.version, IndexMetrics.create(registry))

    def health() -> Health:
        if not follower.ready.is_set():
            return Health(healthy=False, detail="the index has not read the item topic yet")
        age = follower.age_seconds()
        return Health(age < MAX_AGE_SECONDS, f"{len(ranker.items)} items, heard from the broker {age:.0f} s ago")

    server = serve(
        settings.monitoring.model_metrics_address, registry, health, setting="VITRINE_MONITORING__MODEL_METRICS_ADDRESS"
    )
    learner = _learner(settings, ranker, LearningMetrics.create(registry))
    follower.start()
    if settings.model.learn or ranker.is_blended:
        warm()
    if settings.model.learn:
        learner.start()
    _wait(follower)
    gc.freeze()  # as in the worker: a full collection of model and index would hold up a page

    def close() -> None:
        follower.stop()
        if learner.is_alive():
            learner.stop()
        server.shutdown()
        server.server_close()

    return ServedRanker(MeasuredRanker(ranker, RankerMetrics.create(registry)), close)


def _learner(settings: Settings, ranker: PageRanker, metrics: LearningMetrics) -> SessionFollower:
    topic = settings.kafka.topic_prefix + SESSIONS
    return SessionFollower(settings.kafka, topic, ranker.learning, settings.model.learn_sessions, metrics)


def _wait(follower: ItemFollower) -> None:
    started = time.monotonic()
    if not follower.connected.wait(CONNECT_SECONDS):
        _LOG.warning("the broker is away; serving an empty index until it comes")
        return
    if not follower.ready.wait(CATCH_UP_SECONDS):
        _LOG.warning("the index is not complete yet; serving what it has", extra={"seconds": time.monotonic() - started})


def open_encoder() -> ServedEncoder:
    """Load the item encoder.

    Raises:
        ConfigurationError: a file of the model is missing or wrong.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    encoder = ItemEncoder.open(model_folder())
    encoder.warm()
    return ServedEncoder(encoder, lambda: None)

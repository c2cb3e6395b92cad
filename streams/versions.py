"""The model versions of one events worker, wired: who answers, who is asked in the shadow, what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from contracts.settings import Settings, TritonSettings, resolve
from contracts.topics import MODELS
from monitoring.rollout_metrics import RolloutMetrics
from streams.batch import Visit
from streams.inference import InferenceClient
from streams.ports import Answer, Clock, Tensors
from streams.recording import Recorder
from streams.routes import RoutedRanker, RouteFollower
from streams.shadow import Shadow
from streams.triton import TritonRanker

_SHADOW_DEADLINE_MS = 5000.0  # nobody waits for it, and its process has less of the processor
_GRACE_SECONDS = 1.0


class TritonServer:
    """`streams.routes.Server` over gRPC.

    Args:
        address: `host:port`.
        settings: deadline and breaker.
        on_breaker: told 1 when the breaker is open, else 0.
    """

    def __init__(self, address: str, settings: TritonSettings, on_breaker: Callable[[float], object]) -> None:
        self._client = InferenceClient(address)
        self._ranker = TritonRanker(self._client, settings, on_breaker)

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        return await self._ranker.rank(tensors)

    async def close(self) -> None:
        """Close the channel when the call under way has ended."""
        await self._client.close(_GRACE_SECONDS)


class Versions:
    """Create it inside the running event loop.

    Args:
        settings: all settings.
        metrics: of the versions.
        clock: of the worker.
        on_breaker: told 1 when the breaker of the live server is open, else 0.
    """

    def __init__(
        self, settings: Settings, metrics: RolloutMetrics, clock: Clock, on_breaker: Callable[[float], object]
    ) -> None:
        self._triton = settings.triton
        self._on_breaker = on_breaker
        self.shadow = Shadow(metrics)
        self.recorder = Recorder(resolve(settings.worker.data_dir), clock.monotonic, metrics.recorded.set)
        self.ranker = RoutedRanker(settings.triton.grpc_address, self._connect, self.shadow, metrics)
        topic = settings.kafka.topic_prefix + MODELS
        self.follower = RouteFollower(settings.kafka, topic, self.ranker.apply, metrics.route_failures.inc)

    def _connect(self, address: str, answers_visitors: bool) -> TritonServer:
        if answers_visitors:
            return TritonServer(address, self._triton, self._on_breaker)
        patient = self._triton.model_copy(update={"ranker_deadline_ms": _SHADOW_DEADLINE_MS})
        return TritonServer(address, patient, lambda _: None)

    def on_ranked(self, visits: Sequence[Visit], answer: Answer) -> None:
        """For `streams.refresh.Refresher.on_ranked`."""
        self.shadow.offer(visits, answer)
        self.recorder.offer(visits, answer)

    async def run(self) -> None:
        """Follow, ask and record until cancelled."""
        tasks = [asyncio.create_task(work) for work in (self.follower.run(), self.shadow.run(), self.recorder.keep())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

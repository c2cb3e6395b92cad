"""The ranker behind Triton: one call, a deadline, and a breaker that gives a failing server a rest."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from contracts.errors import DependencyError, RankerTimeout, RankerUnavailable
from contracts.settings import TritonSettings
from contracts.tensors import PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, Info, Timing
from streams.inference import InferenceClient
from streams.ports import Answer, Tensors

MODEL = "page_ranker"


class Breaker:
    """Circuit breaker (Nygard, Release It!): after `failures` in a row it lets one call through per `retry_seconds`."""

    def __init__(self, failures: int, retry_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._retry = retry_seconds
        self._monotonic = monotonic
        self._failed = 0
        self._tried = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last `failures` calls all failed."""
        return self._failed >= self._limit

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if not self.is_open:
            return True
        now = self._monotonic()
        if now - self._tried < self._retry:
            return False
        self._tried = now
        return True

    def succeeded(self) -> None:
        """The call was answered: close."""
        self._failed = 0

    def failed(self) -> None:
        """The call failed: count it."""
        self._failed += 1
        self._tried = self._monotonic()


def answer_of(outputs: Tensors) -> Answer:
    """The answer that tensors of `contracts.tensors.PAGE_RANKER_OUTPUTS` hold."""
    info, timing = outputs["info"], outputs["timing"]
    return Answer(
        state=outputs["state"].astype(np.float32, copy=False),
        items=outputs["items"].astype(np.int64, copy=False),
        scores=outputs["scores"].astype(np.float32, copy=False),
        shares=outputs["shares"].astype(np.float32, copy=False),
        sources=outputs["sources"].astype(np.int32, copy=False),
        model_version=int(info[Info.MODEL_VERSION]),
        index_version=int(info[Info.INDEX_VERSION]),
        index_size=int(info[Info.INDEX_SIZE]),
        timing_us=(float(timing[Timing.STEP]), float(timing[Timing.RETRIEVE]), float(timing[Timing.RANK])),
        learned_version=int(info[Info.LEARNED_VERSION]),
        voices=outputs["voices"].astype(np.float32, copy=False),
    )


class TritonRanker:
    """`streams.ports.Ranker` over gRPC.

    Args:
        client: long-lived client of the server.
        settings: deadline and breaker.
        on_breaker: told 1 when the breaker is open, else 0, after every call.
    """

    def __init__(
        self, client: InferenceClient, settings: TritonSettings, on_breaker: Callable[[float], object] = lambda _: None
    ) -> None:
        self._client = client
        self._deadline = settings.ranker_deadline_ms / 1000
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_retry_ms / 1000)
        self._on_breaker = on_breaker
        self._last: type[DependencyError] = RankerUnavailable

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        if not self._breaker.allows():
            message = "the ranker failed repeatedly and is given a rest"
            raise self._last(message)
        try:
            outputs = await self._client.infer(
                MODEL, tensors, PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, deadline_s=self._deadline
            )
        except DependencyError as error:
            self._breaker.failed()
            self._last = RankerTimeout if isinstance(error, RankerTimeout) else RankerUnavailable
            self._on_breaker(float(self._breaker.is_open))
            raise
        self._breaker.succeeded()
        self._on_breaker(0.0)
        return answer_of(outputs)

"""Warm-up: the requests that the workers recorded, answered by a new version before it may answer visitors."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.errors import ConfigurationError
from contracts.tensors import PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, Info
from streams.inference import InferenceClient
from streams.ports import Tensors
from streams.recording import FILE, batched, read_requests

BATCHES = (1, 4, 16)
FEWEST = 32
_DEADLINE_SECONDS = 20.0  # a candidate may have little of the processor


@dataclass(frozen=True)
class WarmUp:
    """What came of it.

    Attributes:
        requests: recorded requests, each answered in every batch size.
        empty: of those, how many got no item at all.
        p50_ms: median of a call of one row, at the priority that the process has now.
        p99_ms: its 99th percentile.
    """

    requests: int
    empty: int
    p50_ms: float
    p99_ms: float


def recorded(var: Path) -> list[list[Tensors]]:
    """What every worker of this stack recorded, newest file last; requests of one list have one width.

    Raises:
        ConfigurationError: a file is damaged.
    """
    files = sorted(var.glob(f"worker-*/{FILE}"), key=lambda file: file.stat().st_mtime)
    return [read_requests(file) for file in files]


def require_enough(recordings: list[list[Tensors]]) -> None:
    """Refuse to call a version warm by too few requests.

    Raises:
        ConfigurationError: fewer than `FEWEST` were recorded.
    """
    found = sum(map(len, recordings))
    if found < FEWEST:
        message = (
            f"{found} recorded requests, expected at least {FEWEST}: let visitors in for half a minute (`vitrine run`), "
            "or use --without-recording"
        )
        raise ConfigurationError(message)


async def warm_up(
    address: str, version: int, recordings: list[list[Tensors]], tick: Callable[[int], object] = lambda _: None
) -> WarmUp:
    """Have every request answered, alone and in batches.

    Args:
        address: `host:port` of the candidate.
        version: that it must answer with.
        recordings: of :func:`recorded`.
        tick: told after each call how many rows were answered.

    Raises:
        ConfigurationError: an answer is of another version or holds numbers that are not finite.
        RankerUnavailable: the candidate refuses or dies.
        RankerTimeout: an answer takes more than 20 s.
    """
    times: list[float] = []
    empty = 0
    async with InferenceClient(address) as client:
        for size in BATCHES:
            for call in (call for requests in recordings for call in batched(requests, size)):
                started = time.monotonic()
                answer = await client.infer(
                    "page_ranker", call, PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, deadline_s=_DEADLINE_SECONDS
                )
                if size == 1:
                    times.append((time.monotonic() - started) * 1000)
                    empty += int(not answer["items"].any())
                found = int(answer["info"][Info.MODEL_VERSION])
                if found != version or not (np.isfinite(answer["scores"]).all() and np.isfinite(answer["state"]).all()):
                    message = f"version {version} at {address} answered as version {found} or with numbers that are not finite"
                    raise ConfigurationError(message)
                tick(len(call["context"]))
    if len(times) < 2:
        return WarmUp(len(times), empty, *(times or [0.0]), *(times or [0.0]))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return WarmUp(len(times), empty, round(cuts[49], 2), round(cuts[98], 2))

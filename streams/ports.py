"""What the worker needs of the world, named for the need; each port has one real adapter and one fake in the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Answer:
    """One answer of the ranker for B rows, K candidates, state width S.

    Attributes:
        state: [B, S] float32 after the new events.
        items: [B, K] item keys, best first, 0 pads.
        scores: [B, K] click probability.
        shares: [B, K, 3] share of text, image, behaviour in the match.
        sources: [B, K] `contracts.tensors.Candidate`.
        model_version: which weights answered.
        index_version: position of the item index that answered.
        index_size: items that could answer.
        timing_us: microseconds of step, retrieve, rank inside the model.
        learned_version: what the ranker had learned from the stream; 0 nothing.
        voices: [B, K, 4] share of each `contracts.tensors.Voice` in the score; None if the ranker does not tell.
    """

    state: NDArray[np.float32]
    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    shares: NDArray[np.float32]
    sources: NDArray[np.int32]
    model_version: int
    index_version: int
    index_size: int
    timing_us: tuple[float, float, float]
    learned_version: int = 0
    voices: NDArray[np.float32] | None = None


class Ranker(Protocol):
    """Steps the session encoder and ranks the live catalogue, many sessions in one call."""

    async def rank(self, tensors: Tensors) -> Answer:
        """Answer `contracts.tensors.PAGE_RANKER_INPUTS`.

        A row's answer does not depend on the other rows. Called once per micro-batch, one call at a time.

        Raises:
            RankerTimeout: no answer within the deadline.
            RankerUnavailable: refused, died, answered with an error, or resting after failures.
        """
        ...


@dataclass(frozen=True)
class Record:
    """One record to be written; `value` None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class RecordLog(Protocol):
    """Where records are written and acknowledged."""

    async def write(self, records: Sequence[Record]) -> None:
        """Write all, in order per key, and return when the broker has acknowledged all of them.

        Raises:
            BrokerUnavailable: if any of them was not acknowledged.
        """
        ...


class Clock(Protocol):
    """Wall clock in milliseconds since the epoch and a monotonic one in seconds."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

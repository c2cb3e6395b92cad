"""Shadow scoring: copies of live requests for a version that answers nobody yet, off the way of the page.

The worker only puts a few visits into a bounded queue. A task of its own sends them on as sessions to be replayed, since
the live encoder's state means nothing to another one, and counts how the answers differ.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DependencyError
from monitoring.rollout_metrics import RolloutMetrics
from streams.agreement import BINS, TOP, histogram, overlap, rank_correlation, stability_index
from streams.batch import Visit
from streams.ports import Answer, Ranker
from streams.ranking import Encoder, request
from streams.sessions import SessionState

ROWS = 8  # most visits of one batch that are copied
WAITING = 8  # batches that may wait for the shadow


@dataclass
class _Scores:
    """Scores of the best items of one model since the shadow began."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    total: float = 0.0

    def add(self, scores: NDArray[np.float32]) -> None:
        self.counts += histogram(scores)
        self.total += float(scores.sum())

    @property
    def mean(self) -> float:
        return self.total / max(1, int(self.counts.sum()))


@dataclass(frozen=True)
class _Copy:
    """Visits and what the live model answered."""

    rows: list[tuple[str, SessionState]]
    items: NDArray[np.int64]
    scores: NDArray[np.float32]


class Shadow:
    """Asks one version with a sample of the live requests.

    Args:
        metrics: where the figures go.
    """

    def __init__(self, metrics: RolloutMetrics) -> None:
        self._metrics = metrics
        self._ranker: Ranker | None = None
        self._version = 0
        self._share = 0.0
        self._credit = 0.0
        self._waiting: asyncio.Queue[_Copy] = asyncio.Queue(WAITING)
        self._live, self._shadow = _Scores(), _Scores()

    def aim(self, ranker: Ranker | None, version: int = 0, share: float = 0.0) -> None:
        """Begin with a version, or end with None; the score figures begin anew with another version."""
        if version != self._version:
            self._live, self._shadow = _Scores(), _Scores()
            while not self._waiting.empty():
                self._waiting.get_nowait()
        self._ranker, self._version, self._share = ranker, version, share
        self._metrics.shadow_version.set(version)

    def offer(self, visits: Sequence[Visit], answer: Answer) -> None:
        """Copy the share of the visits, spread evenly over time; drops what the shadow is too slow for."""
        if self._ranker is None:
            return
        self._credit = min(self._credit + self._share * len(visits), float(ROWS))
        count = min(int(self._credit), len(visits))
        if count == 0:
            return
        self._credit -= count
        rows = [(visit.trigger.tenant_id, visit.state) for visit in visits[:count]]
        try:
            self._waiting.put_nowait(_Copy(rows, answer.items[:count], answer.scores[:count]))
        except asyncio.QueueFull:
            self._metrics.shadow_rows.labels("dropped").inc(count)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            copy = await self._waiting.get()
            if self._ranker is not None:
                await self._ask(self._ranker, copy)

    async def _ask(self, ranker: Ranker, copy: _Copy) -> None:
        started, version = time.monotonic(), self._version
        rows = self._metrics.shadow_rows
        try:
            answer = await ranker.rank(request(copy.rows, Encoder()))
        except DependencyError:
            rows.labels("failed").inc(len(copy.rows))
            return
        self._metrics.shadow_duration.observe(time.monotonic() - started)
        if answer.model_version != version or version != self._version:
            rows.labels("wrong_version").inc(len(copy.rows))
            return
        for row in range(len(copy.rows)):
            self._compare((copy.items[row], copy.scores[row]), (answer.items[row], answer.scores[row]))
            await asyncio.sleep(0)  # a page may want the loop
        rows.labels("compared").inc(len(copy.rows))
        self._metrics.score_mean.labels("live").set(self._live.mean)
        self._metrics.score_mean.labels("shadow").set(self._shadow.mean)
        self._metrics.stability.set(stability_index(self._live.counts, self._shadow.counts))

    def _compare(
        self,
        live: tuple[NDArray[np.int64], NDArray[np.float32]],
        shadow: tuple[NDArray[np.int64], NDArray[np.float32]],
    ) -> None:
        ours, theirs = (items[items != 0].tolist() for items, _ in (live, shadow))
        self._metrics.overlap.observe(overlap(ours, theirs))
        correlation = rank_correlation(ours, theirs)
        if correlation is not None:
            self._metrics.correlation.observe(correlation)
        self._live.add(live[1][: min(TOP, len(ours))])
        self._shadow.add(shadow[1][: min(TOP, len(theirs))])

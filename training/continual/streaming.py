"""Test, then train: sources that rank each click before they learn from it, one event at a time.

Shapes: n items, S state, W ring, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.tensors import EventKind
from fusion.neighbours import SessionNeighbours
from fusion.trend import TrendCounters
from training.sessions.data import Ints
from training.sessions.encoder import SessionModel

Floats = NDArray[np.float32]
WINDOWS = (0.05, 0.2)
"""Windows of the trend counters, shares of the clicks of the first log."""
VOTES = 200
"""Items that the neighbours name."""
SOURCES = ("encoder", "log votes", "log clicks", "lift, short", "lift, long")


@dataclass
class _Visit:
    state: torch.Tensor
    ring: list[int]
    history: list[int]
    model: int


@dataclass
class StreamedEncoder:
    """The session encoder as it is served: a step of constant cost for each click, states of another model rebuilt.

    Args:
        model: answers for rows 0 … k-1.
        items: n, rows that scores are given for; those the model does not know get -inf.
    """

    model: SessionModel
    items: int
    _visits: dict[str, _Visit] = field(default_factory=dict)
    _version: int = 0
    _vectors: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.use(self.model)

    def use(self, model: SessionModel) -> None:
        """Another model answers from now on; a visitor's state is rebuilt when the visitor comes again."""
        self.model, self._version = model.eval(), self._version + 1
        self._vectors = model.unit_vectors()

    @torch.no_grad()
    def ask(self, visitor: str) -> Floats:
        """Logits [n] of all items for a visitor who has clicked before."""
        visit = self._current(visitor)
        result = np.full(self.items, -np.inf, dtype=np.float32)
        known = len(self._vectors)
        if not visit.ring:
            result[:known] = 0.0
            return result
        width = self.model.encoder.config.ring
        ring_x = torch.zeros(1, width, self._vectors.shape[1])
        mask = torch.zeros(1, width)
        ring_x[0, : len(visit.ring)] = self._vectors[visit.ring]
        mask[0, : len(visit.ring)] = 1.0
        query, pointer = self.model.encoder.query(visit.state, ring_x, mask)
        result[:known] = (self._vectors @ query[0]).numpy()
        for place in reversed(range(len(visit.ring))):
            if visit.ring[place] not in visit.ring[:place]:
                result[visit.ring[place]] += float(pointer[0, place])
        return result

    def tell(self, visitor: str, row: int) -> None:
        """One click."""
        visit = self._current(visitor)
        visit.history = [*visit.history[-49:], row]
        self._step(visit, row)

    def forget(self, visitor: str) -> None:
        """The visitor's session is over."""
        self._visits.pop(visitor, None)

    @torch.no_grad()
    def _step(self, visit: _Visit, row: int) -> None:
        if row < len(self._vectors):
            kind = torch.tensor([int(EventKind.VIEW)])
            visit.state = self.model.encoder.step(visit.state, self._vectors[row : row + 1], kind)
            visit.ring = [row, *visit.ring][: self.model.encoder.config.ring]

    def _current(self, visitor: str) -> _Visit:
        visit = self._visits.get(visitor)
        if visit is None:
            visit = self._visits[visitor] = _Visit(self.model.encoder.initial_state(1), [], [], self._version)
        elif visit.model != self._version:
            visit.state, visit.ring, visit.model = self.model.encoder.initial_state(1), [], self._version
            for row in visit.history:
                self._step(visit, row)
        return visit


class StreamedCounts:
    """Neighbours and trend counters; both learn from the stream.

    Args:
        items: n.
        clicks: of the log that windows are shares of.
    """

    def __init__(self, items: int, clicks: int) -> None:
        self.items = items
        self.neighbours = SessionNeighbours(items)
        self.trend = TrendCounters(items, tuple(max(1.0, share * clicks) for share in WINDOWS))

    def learn(self, sessions: list[Ints]) -> None:
        """A whole log at once."""
        for session in sessions:
            self.neighbours.add(session.tolist())
        self.trend.add_all(np.concatenate(sessions))

    def votes(self, prefix: list[int]) -> Floats:
        """Votes [n] of the sessions that are like a prefix."""
        query = np.full((1, max(1, min(len(prefix), 50))), -1, dtype=np.int64)
        if prefix:
            query[0] = prefix[-50:]
        near, values = self.neighbours.look_up(query, VOTES)
        result = np.zeros(self.items, dtype=np.float32)
        named = near[0] >= 0
        result[near[0][named]] = values[0][named]
        return result

    def trends(self) -> Floats:
        """Columns [n, 3]: log clicks, and the lift over the short and the long window."""
        return self.trend.features()


def sources(logits: Floats, votes: Floats, trends: Floats) -> Floats:
    """What is mixed [..., n, 5], columns as in `SOURCES`; the encoder's as log probability, at least -20."""
    top = logits.max(axis=-1, keepdims=True)
    total = top + np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    columns = (
        np.maximum(logits - total, -20.0),
        np.log(votes + 1e-3),
        *np.moveaxis(np.broadcast_to(trends, (*logits.shape, 3)), -1, 0),
    )
    return np.stack(columns, axis=-1).astype(np.float32)


def fit_mix(features: Floats, targets: Ints, steps: int = 60) -> Floats:
    """Weights [5] of a log-linear mixture, by softmax over all items.

    Args:
        features: [N, n, 5] of :func:`sources`.
        targets: int64 [N], all known.
        steps: of Adam.
    """
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    weights = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0], requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(x @ weights, y))
        optimizer.step()
    return weights.detach().numpy()

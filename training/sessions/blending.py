"""Candidates of all sources with their features.

Shapes: N queries, C candidates, F features, n items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.blend import best_of_rows, rule_values, union, values_at
from fusion.neighbours import SessionNeighbours
from fusion.trend import TrendCounters
from training.sessions.data import Ints, Queries
from training.sessions.encoder import SessionModel
from training.sessions.rules import by_row, item_cosine, last_items, recent, transitions

Floats = NDArray[np.float32]
TOP = 120
"""Candidates from the encoder and from the neighbours; item-KNN adds half as many."""
WINDOWS = (0.01, 0.05, 0.2)
"""Windows of the trend counters, shares of the log's clicks."""


@dataclass
class Sources:
    """Everything that has an opinion about the next item, learned from the same sessions."""

    model: SessionModel
    neighbours: SessionNeighbours
    trend: Floats
    rule: Any
    cosine: Any

    @classmethod
    def learn(cls, model: SessionModel, sessions: Sequence[Ints], items: int) -> Sources:
        """Neighbours, counters and rules of some sessions, beside a trained encoder."""
        neighbours = SessionNeighbours(items)
        for session in sessions:
            neighbours.add(session.tolist())
        clicks = np.concatenate(list(sessions))
        counters = TrendCounters(items, tuple(max(1.0, share * len(clicks)) for share in WINDOWS))
        counters.add_all(clicks)
        rule = by_row(transitions(sessions, items))
        rule.sort_indices()
        return cls(model.eval(), neighbours, counters.features(), rule, item_cosine(sessions, items) + rule)


@dataclass(frozen=True)
class Candidates:
    """Candidates of queries: items int64 [N, C], -1 where empty; features float32 [N, C, F]."""

    items: Ints
    features: Floats


def candidates(sources: Sources, queries: Queries, vectors: torch.Tensor, *, mask_seen: bool) -> Candidates:
    """Union of the sources' best items with what each source says of them; for some hundred queries at a time."""
    count = vectors.shape[0]
    dense = sources.model.scores(queries.items, vectors)
    total = torch.logsumexp(dense, dim=1, keepdim=True).numpy()
    knn = recent(queries, count) @ sources.cosine
    knn.sort_indices()
    table = knn.indptr.astype(np.int64), knn.indices.astype(np.int64), knn.data
    near, votes = sources.neighbours.look_up(queries.items, TOP)
    if mask_seen:
        rows, seen_at = np.nonzero(queries.items >= 0)
        dense[rows, queries.items[rows, seen_at]] = -torch.inf
    top = dense.topk(min(TOP, count), dim=1)
    by_knn: Any = best_of_rows(*table, TOP // 2)
    items: Any = union(np.concatenate((top.indices.numpy(), near, by_knn), axis=1))
    safe = np.maximum(items, 0)
    said = np.take_along_axis(dense.numpy(), safe, axis=1)
    items = np.where(np.isfinite(said), items, -1)
    seen = (items[:, :, None] == queries.items[:, None, -10:]).sum(-1)
    order = np.broadcast_to(np.arange(1, top.indices.shape[1] + 1, dtype=np.float32), top.indices.shape)
    place = values_at(items, top.indices.numpy(), np.ascontiguousarray(order))
    score = values_at(items, near, votes)
    rules: Any = sources.rule.indptr, sources.rule.indices, sources.rule.data
    last, before = last_items(queries), last_items(queries, 2)
    trend = sources.trend[safe]
    every = vectors.numpy()
    unit = every[safe]
    columns = (
        said - total,
        said - top.values.numpy()[:, :1],
        np.log(score + 1e-3),
        score / np.maximum(votes.sum(1, keepdims=True), 1e-6),
        np.log(np.where(place > 0, place, 2.0 * TOP)),
        np.sqrt(rule_values(items, last, *rules)),
        np.sqrt(rule_values(items, before, *rules)),
        np.log(rule_values(items, np.arange(len(items)), *table) + 1e-3),
        np.matmul(unit, every[np.maximum(last, 0)][:, :, None])[..., 0] * (last >= 0)[:, None],
        np.matmul(unit, every[np.maximum(before, 0)][:, :, None])[..., 0] * (before >= 0)[:, None],
        *np.moveaxis(trend, -1, 0),
        items == last[:, None],
        np.minimum(seen, 3),
        np.broadcast_to(np.log1p(queries.lengths)[:, None], items.shape),
    )
    features = np.stack([np.nan_to_num(column, neginf=0.0).astype(np.float32) for column in columns], axis=-1)
    return Candidates(items, features)


def in_batches(
    sources: Sources,
    queries: Queries,
    use: Callable[[Ints, Candidates], None],
    tick: Callable[[float], None],
    *,
    mask_seen: bool,
    batch: int = 256,
) -> None:
    """Call `use` with the rows of each batch and its candidates, and `tick` with the share of the queries that is done."""
    vectors = sources.model.unit_vectors()
    order = np.argsort(queries.lengths, kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        part = queries.pick(rows)
        width = max(1, int(part.lengths.max()))
        use(rows, candidates(sources, Queries(part.items[:, -width:], part.targets), vectors, mask_seen=mask_seen))
        tick((start + len(rows)) / len(order))

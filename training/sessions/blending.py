"""Candidates of all sources with their features.

Shapes: N queries, C candidates, F features, n items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.blend_features import PREFIX, TOP, TOP_PAIRS, Opinions, blend_features
from fusion.neighbours import SessionNeighbours
from fusion.trend import TrendCounters
from training.sessions.data import Ints, Queries
from training.sessions.encoder import SessionModel

Floats = NDArray[np.float32]
WINDOWS = (0.01, 0.05, 0.2)
"""Windows of the trend counters, shares of the log's clicks."""


@dataclass
class Sources:
    """Everything that has an opinion about the next item, learned from the same sessions."""

    model: SessionModel
    neighbours: SessionNeighbours
    counters: TrendCounters
    trend: Floats

    @classmethod
    def learn(cls, model: SessionModel, sessions: Sequence[Ints], items: int) -> Sources:
        """Neighbours and counters of some sessions, beside a trained encoder."""
        neighbours = SessionNeighbours(items)
        clicks = np.concatenate(list(sessions))
        neighbours.extend(clicks, np.array([len(session) for session in sessions], dtype=np.int64))
        counters = TrendCounters(items, tuple(max(1.0, share * len(clicks)) for share in WINDOWS))
        counters.add_all(clicks)
        return cls(model.eval(), neighbours, counters, counters.features())


@dataclass(frozen=True)
class Candidates:
    """Candidates of queries: items int64 [N, C], -1 where empty; features float32 [N, C, F]."""

    items: Ints
    features: Floats


def newest(queries: Queries) -> Ints:
    """The newest `PREFIX` clicks of each prefix, int64 [N, PREFIX], padded in front with -1."""
    part = queries.items[:, -PREFIX:]
    return np.pad(part, ((0, 0), (PREFIX - part.shape[1], 0)), constant_values=-1)


def candidates(sources: Sources, queries: Queries, vectors: torch.Tensor, *, mask_seen: bool) -> Candidates:
    """Union of the sources' best items with what each source says of them; for some hundred queries at a time.

    The served form is `triton_models.blended`; a test compares the two.
    """
    prefix = newest(queries)
    dense = sources.model.scores(queries.items, vectors)
    if mask_seen:
        rows, seen_at = np.nonzero(queries.items >= 0)
        dense[rows, queries.items[rows, seen_at]] = -torch.inf
    found = dense.topk(min(TOP, vectors.shape[0]), dim=1)
    more = ((0, 0), (0, TOP - found.indices.shape[1]))
    best = np.pad(found.values.numpy(), more, constant_values=-np.inf)
    proposed = np.where(np.isfinite(best), np.pad(found.indices.numpy(), more, constant_values=-1), -1)
    heard = sources.neighbours.consult(prefix, proposed, TOP, TOP_PAIRS)
    items = np.concatenate((proposed, heard.extra), axis=1)
    logits = np.take_along_axis(dense.numpy(), np.maximum(items, 0), axis=1)
    items = np.where(np.isfinite(logits), items, -1)
    safe, every = np.maximum(items, 0), vectors.numpy()
    last = every[np.maximum(prefix[:, -2:], 0)] * (prefix[:, -2:] >= 0)[:, :, None]
    place = np.zeros(items.shape, np.float32)
    place[:, :TOP] = np.arange(1, TOP + 1)
    said = Opinions(
        items=items,
        prefix=prefix,
        logits=logits,
        best=best,
        place=place,
        votes=heard.votes,
        total=heard.total,
        pairs=heard.pairs,
        last=heard.last,
        before=heard.before,
        cosines=np.matmul(every[safe], last[:, ::-1].transpose(0, 2, 1)),
        trend=sources.trend[safe],
    )
    return Candidates(items, blend_features(said))


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

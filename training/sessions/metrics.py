"""Ranks of targets by the papers' protocol and their summary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.demo_metrics import ranks
from training.sessions.data import Queries

Floats = NDArray[np.float32]


def ranks_of(scores: Floats, queries: Queries, *, mask_seen: bool) -> NDArray[np.float64]:
    """Rank of each target among all items, ties at the middle rank, infinite for targets unknown to training.

    Args:
        scores: [N, n], changed in place where seen items are masked.
        queries: N queries.
        mask_seen: whether the items of the prefix may not answer; a masked target is a miss.
    """
    targets = queries.targets
    if mask_seen:
        rows, columns = np.nonzero(queries.items >= 0)
        scores[rows, queries.items[rows, columns]] = -np.inf
    found = ranks(scores, np.maximum(targets, 0))
    own = scores[np.arange(len(targets)), np.maximum(targets, 0)]
    return np.where((targets >= 0) & np.isfinite(own), found, np.inf)


def summary(found: NDArray[np.float64], k: int) -> dict[str, float]:
    """Share of targets among the first k (P@k = Recall@k for one target), and the mean of MRR and of NDCG cut at k."""
    hit = found <= k
    gain = np.where(hit, 1.0 / np.log2(1.0 + np.where(hit, found, 1.0)), 0.0)
    return {
        f"recall@{k}": float(hit.mean()),
        f"mrr@{k}": float(np.where(hit, 1.0 / found, 0.0).mean()),
        f"ndcg@{k}": float(gain.mean()),
    }

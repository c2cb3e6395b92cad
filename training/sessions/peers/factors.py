"""Two methods of the `implicit` library: ALS (Hu, Koren and Volinsky, 2008) and item-KNN by cosine.

Sessions are its users. A prefix's factors are solved for from its items with the item factors fixed, as the library does for a
user who was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.sessions.data import Ints, Queries
from training.sessions.metrics import ranks_of
from training.sessions.rules import sparse_ranks


def session_items(sessions: Sequence[Ints], items: int) -> Any:
    """Which session holds which item; CSR float32 [sessions, n] of ones."""
    clicks = np.concatenate(list(sessions))
    owner = np.repeat(np.arange(len(sessions)), [len(session) for session in sessions])
    result = sparse.csr_matrix((np.ones(len(clicks), np.float32), (owner, clicks)), shape=(len(sessions), items))
    result.data[:] = 1.0
    return result


def prefix_items(queries: Queries, items: int) -> Any:
    """Which prefix holds which item; CSR float32 [N, n] of ones."""
    return session_items([prefix[prefix >= 0] for prefix in queries.items], items)


def als_ranks(sessions: Sequence[Ints], queries: Queries, items: int, *, mask_seen: bool, seed: int = 0) -> NDArray[np.float64]:
    """Ranks by ALS with 128 factors, 15 rounds and the library's other defaults, on one thread."""
    with threadpool_limits(1, "blas"):  # the library warns of anything else
        model = AlternatingLeastSquares(factors=128, iterations=15, num_threads=1, random_state=seed)
        model.fit(session_items(sessions, items), show_progress=False)
    prefixes, found = prefix_items(queries, items), np.full(len(queries), np.inf)
    for start in range(0, len(queries), 1024):
        rows = np.arange(start, min(start + 1024, len(queries)))
        factors = model.recalculate_user(np.arange(len(rows)), prefixes[rows])
        found[rows] = ranks_of(factors @ model.item_factors.T, queries.pick(rows), mask_seen=mask_seen)
    return found


def cosine_ranks(sessions: Sequence[Ints], queries: Queries, items: int, *, mask_seen: bool) -> NDArray[np.float64]:
    """Ranks by the library's item-KNN: the sum of the cosines to the prefix's items, 100 neighbours an item."""
    model = CosineRecommender(K=100, num_threads=1)
    model.fit(session_items(sessions, items), show_progress=False)
    return sparse_ranks(prefix_items(queries, items), model.similarity.tocsr(), queries, mask_seen=mask_seen)

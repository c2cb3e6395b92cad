"""Neighbour methods over items: SR (rules from the last click) and item-KNN (cosine of sessions, plus transitions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.sessions.data import Ints, Queries
from training.sessions.metrics import ranks_of

WINDOW = 10
"""Clicks that a rule reaches ahead, and newest items of a prefix that item-KNN asks."""


def _flat(sessions: Sequence[Ints]) -> tuple[Ints, Ints]:
    """All clicks and the session number of each."""
    return np.concatenate(list(sessions)), np.repeat(np.arange(len(sessions)), [len(session) for session in sessions])


def transitions(sessions: Sequence[Ints], items: int) -> Any:
    """SR (Ludewig and Jannach, 2018): each pair, i before j by at most 10 clicks, adds 1/distance; CSR float32 [n, n]."""
    clicks, owner = _flat(sessions)
    total = sparse.csr_matrix((items, items), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        same = owner[distance:] == owner[:-distance]
        first, then = clicks[:-distance][same], clicks[distance:][same]
        weights = np.full(len(first), 1.0 / distance, dtype=np.float32)
        total = total + sparse.csr_matrix((weights, (first, then)), shape=(items, items))
    total.sort_indices()
    return total


def by_row(matrix: Any) -> Any:
    """The matrix with rows that sum to 1."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags((1.0 / np.maximum(sums, 1e-9)).astype(np.float32)) @ matrix)


def item_cosine(sessions: Sequence[Ints], items: int) -> Any:
    """Cosine of items by the sessions that they share, without the diagonal; CSR float32 [n, n]."""
    clicks, owner = _flat(sessions)
    seen = sparse.csr_matrix((np.ones(len(clicks), np.float32), (owner, clicks)), shape=(len(sessions), items))
    seen.data[:] = 1.0
    counts = np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1.0)
    unit = seen @ sparse.diags((counts**-0.5).astype(np.float32))
    cosine = sparse.csr_matrix(unit.T @ unit)
    cosine.setdiag(0.0)
    cosine.eliminate_zeros()
    return cosine


def recent(queries: Queries, items: int) -> Any:
    """Weight 1/steps back of the newest clicks of each prefix; CSR float32 [N, n]."""
    window = queries.items[:, -WINDOW:]
    steps = np.broadcast_to(np.arange(window.shape[1], 0, -1), window.shape)
    rows, columns = np.nonzero(window >= 0)
    weights = (1.0 / steps[rows, columns]).astype(np.float32)
    return sparse.csr_matrix((weights, (rows, window[rows, columns])), shape=(len(queries), items))


def last_items(queries: Queries, back: int = 1) -> Ints:
    """The click `back` steps before the end of each prefix, -1 where it is shorter."""
    if queries.items.shape[1] < back:
        return np.full(len(queries), -1, dtype=np.int64)
    return np.ascontiguousarray(queries.items[:, -back])


def sparse_ranks(prefixes: Any, table: Any, queries: Queries, *, mask_seen: bool, batch: int = 512) -> NDArray[np.float64]:
    """Ranks of the targets by `prefixes @ table`; items without a score tie at the end."""
    found = np.full(len(queries), np.inf)
    for start in range(0, len(queries), batch):
        rows = np.arange(start, min(start + batch, len(queries)))
        scores = (prefixes[rows] @ table).toarray()
        found[rows] = ranks_of(scores, queries.pick(rows), mask_seen=mask_seen)
    return found


def neighbour_ranks(items: Ints, values: NDArray[np.float32], queries: Queries, *, mask_seen: bool) -> NDArray[np.float64]:
    """Ranks of the targets among a source's answers [N, K]; infinite where the target is not among them."""
    values = values.copy()
    if mask_seen:
        seen = (items[:, :, None] == queries.items[:, None, :]).any(-1) if len(items) else np.zeros_like(items, bool)
        values[seen] = 0.0
    return candidate_ranks(items, np.where(values > 0, values, -np.inf), queries.targets)


def candidate_ranks(items: Ints, values: NDArray[np.float32], targets: Ints) -> NDArray[np.float64]:
    """Ranks of targets among candidates [N, C] by their values, ties in the middle, infinite if absent or -inf."""
    is_target = (items == targets[:, None]) & (targets[:, None] >= 0) & np.isfinite(values)
    own = np.where(is_target, values, -np.inf).max(axis=1, keepdims=True)
    better = (values > own).sum(axis=1)
    equal = (values == own).sum(axis=1) - 1
    return np.where(is_target.any(axis=1), 1.0 + better + equal / 2.0, np.inf)

"""Measures of rankings and of probabilities; pure NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def ranks(scores: Floats, targets: Ints) -> NDArray[np.float64]:
    """Rank of each target among all items, 1 the best; ties take the middle rank.

    Args:
        scores: [N, n], -inf for what may not answer.
        targets: [N], columns of `scores`.
    """
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    better = (scores > own).sum(axis=1)
    equal = (scores == own).sum(axis=1) - 1
    return np.asarray(1.0 + better + equal / 2.0, dtype=np.float64)


def recall_mrr(found: NDArray[np.float64], k: int = 20) -> dict[str, float]:
    """Recall@k and MRR@k of target ranks."""
    if not len(found):
        return {f"recall@{k}": float("nan"), f"mrr@{k}": float("nan"), "targets": 0}
    hit = found <= k
    return {f"recall@{k}": float(hit.mean()), f"mrr@{k}": float(np.where(hit, 1.0 / found, 0.0).mean()), "targets": len(found)}


def ndcg(scores: Floats, clicked: Floats, k: int | None = None) -> float:
    """Mean NDCG over the pages with a click.

    Args:
        scores: [P, K] by which each page's K items are ordered.
        clicked: [P, K], 1 where clicked.
        k: first places that count, all by default.
    """
    pages = clicked.sum(axis=1) > 0
    order = np.argsort(-scores[pages], axis=1, kind="stable")
    gains = np.take_along_axis(clicked[pages], order, axis=1)[:, :k]
    discount = 1.0 / np.log2(np.arange(2, gains.shape[1] + 2))
    best = np.sort(clicked[pages], axis=1)[:, ::-1][:, :k]
    return float(((gains * discount).sum(axis=1) / (best * discount).sum(axis=1)).mean())


def auc(scores: Floats, outcome: Floats) -> float:
    """Chance that something that happened has a higher score than something that did not; NaN if one of both is missing."""
    ordered = scores[np.argsort(scores, kind="stable")]
    first, last = np.searchsorted(ordered, scores), np.searchsorted(ordered, scores, side="right")
    rank = (first + last + 1) / 2.0
    happened = outcome > 0
    count, other = int(happened.sum()), int((~happened).sum())
    return float((rank[happened].sum() - count * (count + 1) / 2) / (count * other)) if count and other else float("nan")


def calibration(probability: Floats, outcome: Floats, bins: int = 15) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error over bins of equally many predictions, and the bins as (predicted, observed, count)."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    rows = [(float(probability[part].mean()), float(outcome[part].mean()), len(part)) for part in parts]
    error = sum(count * abs(predicted - observed) for predicted, observed, count in rows) / max(len(probability), 1)
    return error, rows

"""Who is shown how often: Gini coefficient, and exposure of groups beside their share of catalogue and of relevance.

A place of a page is worth 1 / log2(1 + place), as in NDCG (Singh and Joachims, 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def exposure(pages: Ints, items: int) -> Floats:
    """Sum of the worth of each item's places over pages [P, K] of item rows, float64 [items]."""
    worth = 1.0 / np.log2(np.arange(2, pages.shape[1] + 2))
    return np.bincount(pages.ravel(), weights=np.tile(worth, len(pages)), minlength=items).astype(np.float64)


def gini(values: Floats) -> float:
    """Gini coefficient of non-negative numbers: 0 if all are equal, (n - 1) / n if one has all.

    Raises:
        ValueError: if there is no value, or their sum is 0.
    """
    if not len(values) or values.sum() <= 0:
        message = f"{len(values)} values with sum {values.sum()}, expected some above 0"
        raise ValueError(message)
    ordered = np.sort(values)
    ranks = np.arange(1, len(ordered) + 1)
    return float((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def deciles(popularity: NDArray[np.float32]) -> Ints:
    """Group 0 (least popular) to 9 of each item, of equal size but for one; int64 [n]."""
    place = np.empty(len(popularity), dtype=np.int64)
    place[np.argsort(popularity, kind="stable")] = np.arange(len(popularity))
    return place * 10 // max(len(popularity), 1)


def by_group(group: Ints, *amounts: Floats) -> list[list[float]]:
    """Share of each group in each of several amounts by item [n]; a row for each amount."""
    count = int(group.max()) + 1
    rows = []
    for amount in amounts:
        total = np.bincount(group, weights=amount, minlength=count)
        rows.append((total / max(total.sum(), 1e-12)).tolist())
    return rows

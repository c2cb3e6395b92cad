"""How far two rankings of one request agree, and how far two sets of scores differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TOP = 20
# Bounds of the bins of click probabilities: about equal steps of their logarithm.
EDGES = np.array([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
BINS = len(EDGES) + 1


def overlap(live: Sequence[int], shadow: Sequence[int], top: int = TOP) -> float:
    """Part of the best `top` items of `live` that are among the best `top` of `shadow`; two empty answers agree."""
    wanted = set(live[:top])
    return len(wanted.intersection(shadow[:top])) / len(wanted) if wanted else float(not shadow)


def rank_correlation(live: Sequence[int], shadow: Sequence[int]) -> float | None:
    """Spearman's ρ over the items that both lists hold (each at most once); None for fewer than three.

    Each list ranks the common items anew, so there are no ties and ρ = 1 - 6 Σd² / (m (m² - 1)).
    """
    there = set(shadow)
    common = [item for item in live if item in there]
    count = len(common)
    if count < 3:
        return None
    kept = set(common)
    place = {item: rank for rank, item in enumerate(item for item in shadow if item in kept)}
    distance = sum((rank - place[item]) ** 2 for rank, item in enumerate(common))
    return 1.0 - 6.0 * distance / (count * (count * count - 1))


def histogram(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts [BINS] of scores by `EDGES`."""
    return np.bincount(np.searchsorted(EDGES, scores, side="right"), minlength=BINS).astype(np.int64)


def stability_index(live: NDArray[np.int64], shadow: NDArray[np.int64]) -> float:
    """Population stability index (Siddiqi, Credit Risk Scorecards, 2006) of two histograms [BINS].

    Σ (q - p) ln(q / p), half a count added to every bin so that an empty one is finite. Below 0.1 the scores lie as before;
    above 0.25 they do not. 0 where either is empty.
    """
    if not live.sum() or not shadow.sum():
        return 0.0
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (live, shadow))
    return float(((q - p) * np.log(q / p)).sum())

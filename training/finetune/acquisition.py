"""Which items to label next: those that the classifier doubts, and not all of the same kind.

A batch is drawn from the most doubtful items by k-means, weighted by doubt, and the item nearest to each centre is taken
(Zhdanov, 2019, "Diverse mini-batch Active Learning"), since the most doubtful items alone are often near-copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from training.finetune.data import Ints
from training.finetune.labels import Floats

Chances = NDArray[np.floating]
Strategy = Literal["random", "entropy", "margin", "margin, diverse"]
POOL = 8
"""Doubtful items that are looked at for each that is taken."""


def entropy(chances: Chances) -> NDArray[np.float64]:
    """Entropy of each row of probabilities [n, C], in nats: [n]."""
    safe = np.maximum(np.asarray(chances, dtype=np.float64), 1e-12)
    result: NDArray[np.float64] = -(safe * np.log(safe)).sum(axis=1)
    return result


def closeness(chances: Chances) -> NDArray[np.float64]:
    """1 minus the lead of the likeliest class over the next, [n]; 1 where two classes are equally likely."""
    two = np.partition(np.asarray(chances, dtype=np.float64), -2, axis=1)[:, -2:]
    result: NDArray[np.float64] = 1.0 - (two[:, 1] - two[:, 0])
    return result


_DOUBT: dict[str, Callable[[Chances], NDArray[np.float64]]] = {"entropy": entropy, "margin": closeness}


def choose(
    features: Floats, chances: Chances | None, open_rows: Ints, count: int, strategy: Strategy, rng: np.random.Generator
) -> Ints:
    """Rows to label next.

    Args:
        features: [n, W], unit vectors.
        chances: [len(open_rows), C], the classifier's probabilities; None while there is no classifier, when every item is
            as doubtful as the next and the batch is only spread out.
        open_rows: rows without a label.
        count: how many are wanted.
        strategy: how; `random` is what the others must beat.
        rng: draws, and starts k-means.

    Returns:
        Rows int64 [min(count, len(open_rows))], the most doubtful first (`random`: in the order of the draw).
    """
    count = min(count, len(open_rows))
    if strategy == "random":
        return rng.permutation(open_rows)[:count]
    measure, _, diverse = strategy.partition(", ")
    doubt = np.ones(len(open_rows)) if chances is None else _DOUBT[measure](chances)
    order = np.argsort(-doubt, kind="stable")
    if not diverse and chances is not None:
        return open_rows[order[:count]]
    pool = order if chances is None else order[: POOL * count]
    return open_rows[_spread(features[open_rows[pool]], doubt[pool], count, rng, pool)]


def _spread(features: Floats, doubt: NDArray[np.float64], count: int, rng: np.random.Generator, rows: Ints) -> Ints:
    """One row for each cluster of a pool: the one nearest to its centre; in the order of the pool."""
    means = KMeans(count, n_init=1, max_iter=20, random_state=int(rng.integers(2**31)))
    distances = means.fit_transform(features, sample_weight=doubt + 1e-6)
    nearest: list[int] = []
    for column in distances.T:
        free = np.argsort(column, kind="stable")
        nearest.append(next(int(row) for row in free if int(row) not in nearest))
    taken: Ints = rows[np.sort(nearest)]
    return taken

"""Whether the newest clicks are like the old ones: shift of the clicks between groups of items, and of the items' shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
GROUPS = 10


def stability_index(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Population stability index of two distributions over the same groups: sum of (found - expected) · log(found / expected).

    The usual reading: below 0.1 alike, above 0.25 another population.
    """
    floor = 1e-4
    one, other = (np.maximum(values / values.sum(), floor) for values in (expected, found))
    return float(((other - one) * np.log(other / one)).sum())


def divergence(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Jensen-Shannon divergence of two distributions, 0 (equal) to 1 (nothing in common), in bits (Lin, 1991)."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def from_middle(values: NDArray[np.float64]) -> float:
        kept = values > 0
        return float((values[kept] * np.log2(values[kept] / middle[kept])).sum())

    return (from_middle(p) + from_middle(q)) / 2


@dataclass(frozen=True)
class Drift:
    """How far the newest clicks are from the old ones.

    Attributes:
        psi: over ten groups of items with equally many old clicks, and one of items without any.
        js: over single items.
        js_by_chance: the same for a sample of the old clicks of the new ones' number: what js is without any drift.
        new_share: share of the newest clicks on items without old clicks.
    """

    psi: float
    js: float
    js_by_chance: float
    new_share: float


def drift(old: Counts, new: Counts, seed: int = 0) -> Drift:
    """Compare clicks by item.

    Args:
        old: clicks of each item in the past [n].
        new: newest clicks of each item [n].
        seed: of the sample that stands for no drift.

    Raises:
        ValueError: if one of them holds no click.
    """
    if not old.sum() or not new.sum():
        message = f"{old.sum()} old and {new.sum()} new clicks, expected one or more of each"
        raise ValueError(message)
    order = np.argsort(-old, kind="stable")
    group = np.empty(len(old), dtype=np.int64)
    group[order] = np.minimum(np.cumsum(old[order]) * GROUPS // (old.sum() + 1), GROUPS - 1)
    group[old == 0] = GROUPS
    before, after = (np.bincount(group, weights=counts, minlength=GROUPS + 1).astype(np.float64) for counts in (old, new))
    share = old / old.sum()
    sample = np.random.default_rng(seed).multinomial(int(new.sum()), share).astype(np.float64)
    return Drift(
        stability_index(before, after),
        divergence(share, new.astype(np.float64)),
        divergence(share, sample),
        float(after[-1] / new.sum()),
    )

"""The exposure rule: lets products that are seldom seen, and sellers that are, move up by a bounded factor. Pure.

Rarity is told from the candidates of the page alone, never from what was shown before: a page that is made again after a crash
is the same page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def lifted(rare: Sequence[float], strength: float) -> list[int]:
    """The order of candidates after the lift, as positions in the order before it.

    The candidate in place p (from 1) is sorted by p · (1 - strength · rare). So whoever passes the one in place p stood before
    place p / (1 - strength), and no place changes by more than that factor: the head of a page, where a place is worth most,
    moves least. Adding a number of places instead cost ten times the NDCG for the same equality.

    Args:
        rare: rarity of each candidate, 0 (everybody sees it) to 1 (hardly anybody does).
        strength: 0, the ranker's order, to 1.
    """
    return sorted(range(len(rare)), key=lambda place: (place + 1) * (1.0 - strength * rare[place]))


def rarity(popularity: Sequence[float], sellers: Sequence[str]) -> list[float]:
    """Rarity of a page's candidates, 0 to 1: half by the product's popularity, half by how many candidates its seller has."""
    count = Counter(sellers)
    by_item, by_seller = _rare_first(popularity), _rare_first([count[seller] for seller in sellers])
    return [(one + other) / 2 for one, other in zip(by_item, by_seller, strict=True)]


def _rare_first(values: Sequence[float]) -> list[float]:
    """1 for the least of the values, 0 for the greatest, by rank; equal values share the middle of theirs."""
    if len(values) < 2:
        return [0.0] * len(values)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(sorted(values)):
        first.setdefault(value, place)
        last[value] = place
    return [1.0 - (first[value] + last[value]) / (2 * (len(values) - 1)) for value in values]

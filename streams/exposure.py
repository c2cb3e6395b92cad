"""The exposure rule: lets products that are seldom seen, and sellers that are, move up a bounded number of places. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def lifted(rarity: Sequence[float], strength: float, reach: int) -> list[int]:
    """The order of candidates after the lift, as positions in the order before it.

    Candidate i, at place i of the ranker's order, is sorted by i - strength · reach · rarity[i]. So nobody moves by more than
    strength · reach places in either direction: what passes a candidate stood at most that far behind it. Equal keys keep
    their order. The same candidates give the same order, whatever was shown before, so that a page made again is the same.

    Args:
        rarity: of each candidate, 0 (everybody sees it) to 1 (hardly anybody does).
        strength: 0, the ranker's order, to 1.
        reach: places that a candidate of rarity 1 gains over one of rarity 0 at strength 1.
    """
    gain = strength * reach
    return sorted(range(len(rarity)), key=lambda place: place - gain * min(max(rarity[place], 0.0), 1.0))


def ranks_from_rare(values: Sequence[float]) -> list[float]:
    """Rarity of things by how much each is seen: 1 for the least, 0 for the most, equal values share theirs."""
    if len(values) < 2:
        return [0.0] * len(values)
    ordered = sorted(values)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(ordered):
        first.setdefault(value, place)
        last[value] = place
    return [1.0 - (first[value] + last[value]) / (2 * (len(values) - 1)) for value in values]

"""Click streams as padded arrays, and the simulated shoppers that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import EventKind
from shop.shoppers import Action, Shopper
from shop.taste import Shelf

Ints = NDArray[np.int64]
Visit = list[tuple[int, int]]  # (row of the item table, EventKind), oldest first

KIND_OF: dict[Action, EventKind] = {
    "view": EventKind.VIEW,
    "click": EventKind.VIEW,
    "cart": EventKind.CART,
    "purchase": EventKind.PURCHASE,
    "wishlist": EventKind.WISHLIST,
    "remove": EventKind.REMOVE,
}
LONGEST = 30  # events of a visit that training looks at
SHORTEST = 2


@dataclass(frozen=True)
class Clicks:
    """Some visits, padded at the end.

    Attributes:
        items: int64 [B, T], rows of the item table, 0 where padded.
        kinds: int64 [B, T], `EventKind`, 0 where padded.
        targets: int64 [B, T], the item viewed next, -1 where the next event is not a view or does not exist.
    """

    items: Ints
    kinds: Ints
    targets: Ints


def pad(visits: Sequence[Visit]) -> Clicks:
    """Arrays of visits as long as the longest of them."""
    length = max(len(visit) for visit in visits)
    items = np.zeros((len(visits), length), np.int64)
    kinds = np.zeros((len(visits), length), np.int64)
    targets = np.full((len(visits), length), -1, np.int64)
    for row, visit in enumerate(visits):
        items[row, : len(visit)] = [item for item, _ in visit]
        kinds[row, : len(visit)] = [kind for _, kind in visit]
        for place, (item, kind) in enumerate(visit[1:]):
            if kind == EventKind.VIEW:
                targets[row, place] = item
    return Clicks(items, kinds, targets)


def batches(visits: Sequence[Visit], targets: int, rng: np.random.Generator | None) -> Iterator[Clicks]:
    """Batches of visits of like length, about `targets` events each; shuffled where a generator is given."""
    lengths = np.array([len(visit) for visit in visits])
    noise = rng.random(len(visits)) if rng is not None else np.zeros(len(visits))
    order = np.argsort(lengths + 2.0 * noise, kind="stable")
    groups: list[Ints] = []
    start = 0
    while start < len(order):
        count = max(1, targets // int(lengths[order[start]]))
        groups.append(order[start : start + count])
        start += count
    for group in rng.permutation(len(groups)) if rng is not None else range(len(groups)):
        yield pad([visits[row] for row in groups[group]])


def cut(visit: Visit) -> Visit:
    """The newest events of a long visit."""
    return visit[-LONGEST:]


def browse(shelf: Shelf, count: int, seed: int, may_see_new: bool, tick: Callable[[], None]) -> list[Visit]:
    """Visits of shoppers who look around on their own: the click stream before there are recommendations.

    Args:
        shelf: the products.
        count: number of visits, at most two of each shopper.
        seed: of the first shopper; the others follow.
        may_see_new: whether new products have arrived.
        tick: called after each visit.
    """
    visits: list[Visit] = []
    shopper_seed = seed
    while len(visits) < count:
        shopper = Shopper(f"v{shopper_seed}", shelf, shopper_seed, may_see_new=may_see_new)
        shopper_seed += 1
        for _ in range(2):
            visit: Visit = []
            while (decision := shopper.decide(None)) is not None:
                kind = KIND_OF.get(decision.action)
                if kind is not None:
                    visit.extend((row, int(kind)) for row in decision.rows)
            if len(visit) >= SHORTEST:
                visits.append(cut(visit))
            tick()
    return visits[:count]

"""The demo shop as a small one and a bigger one, with different products and different shoppers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.tensors import EventKind
from shop.catalog import Product, products
from shop.taste import shelf_of
from training.demo_clicks import browse
from training.sessions.data import Dataset, Ints, prefixes_of


@dataclass(frozen=True)
class Shops:
    """Products of the demo shop, dealt out.

    Attributes:
        small: the small shop's products.
        big: all others; no product is in both.
    """

    small: tuple[Product, ...]
    big: tuple[Product, ...]


def deal(items: int = 200, seed: int = 0) -> Shops:
    """Deal products out by chance: as many of each type as of every other, up to one, and always one that can be bought."""
    rng = np.random.default_rng(seed)
    by_kind: dict[str, list[int]] = {}
    goods = products()
    for row, product in enumerate(goods):
        by_kind.setdefault(product.kind.drawing, []).append(row)
    piles = [_open_first(rng.permutation(rows), goods) for rows in by_kind.values()]
    rounds = [pile[turn] for turn in range(min(len(pile) for pile in piles)) for pile in piles]
    chosen = set(rounds[:items])
    return Shops(
        tuple(goods[row] for row in sorted(chosen)), tuple(product for row, product in enumerate(goods) if row not in chosen)
    )


def _open_first(rows: Ints, goods: Sequence[Product]) -> list[int]:
    """The rows with those that can be bought in front."""
    return sorted((int(row) for row in rows), key=lambda row: goods[row].stock == 0)


def visits(goods: Sequence[Product], count: int, seed: int, tick: Callable[[], None] = lambda: None) -> list[Ints]:
    """Viewed items of simulated visits with two views or more, rows of `goods`; `count` of them."""
    shelf = shelf_of(goods)
    found: list[Ints] = []
    while len(found) < count:
        made = browse(shelf, count + 20 - len(found), seed, may_see_new=True, tick=tick)
        views = [np.array([item for item, kind in visit if kind == EventKind.VIEW], dtype=np.int64) for visit in made]
        found += [session for session in views if len(session) > 1]
        seed += 1_000_003
    return found[:count]


def dataset(name: str, items: int, sessions: Sequence[Ints], tests: Sequence[Ints]) -> Dataset:
    """A log of all n products, clicked or not; a fifth of the sessions, the newest, validates, two at least."""
    held = max(2, len(sessions) // 5)
    full = list(sessions)
    fit = full[:-held]
    return Dataset(name, np.arange(items), fit, full, prefixes_of(full[-held:]), prefixes_of(list(tests)), mask_seen=False)

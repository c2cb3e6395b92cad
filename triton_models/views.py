"""What a tenant's pages of one department draw on besides the search: popular items, spread out, and new ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fusion.features import ItemTable
from triton_models.index import Ints, Mask

POPULAR = 512  # most items looked at for the spread
_LOW = np.int64(31)


class View(NamedTuple):
    """Who may answer.

    Attributes:
        mask: [C], True where a row may answer.
        popular: rows, the most popular of each department first, then the second of each, and so on.
        cold: rows of items without behaviour, by key.
    """

    mask: Mask
    popular: Ints
    cold: Ints


def make_view(mask: Mask, table: ItemTable, ties: Ints, is_cold: Mask) -> View:
    """Collect a view; which row an item has makes no difference to the order.

    Args:
        mask: [C], True where a row may answer.
        table: the items.
        ties: [C], what orders equal items.
        is_cold: [C], True where an item has no behaviour yet.
    """
    rows = np.flatnonzero(mask)
    cold = np.flatnonzero(mask & is_cold)
    return View(mask, _spread(_most_popular(rows, table, ties), table), cold[np.argsort(ties[cold])])


def _most_popular(rows: Ints, table: ItemTable, ties: Ints) -> Ints:
    """At most `POPULAR` rows, the most popular first."""
    # Popularity is not negative, so the bits of its float order like numbers.
    order = (-table.popularity[rows].view(np.int32).astype(np.int64) << _LOW) | ties[rows]
    if len(rows) > POPULAR:
        few = np.argpartition(order, POPULAR)[:POPULAR]
        rows, order = rows[few], order[few]
    return rows[np.argsort(order)]


def _spread(rows: Ints, table: ItemTable) -> Ints:
    """Stable order by an item's place within its department."""
    seen: dict[int, int] = {}
    places = []
    for department in table.department[rows].tolist():
        places.append(seen.get(department, 0))
        seen[department] = places[-1] + 1
    return rows[np.argsort(np.array(places, np.int64), kind="stable")]

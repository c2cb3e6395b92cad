"""What a tenant's pages of one department draw on besides the search: popular items, spread out, and new ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fusion.features import ItemTable
from triton_models.index import Floats, Ints, Mask

POPULAR = 512  # most items looked at for the spread


class View(NamedTuple):
    """Who may answer.

    Attributes:
        mask: [C], True where a row may answer.
        popular: rows, the most popular of each department first, then the second of each, and so on.
        cold: rows of items without behaviour, in an order of their keys.
    """

    mask: Mask
    popular: Ints
    cold: Ints


def popularity_number(popularity: Floats, ties: Ints) -> Ints:
    """Numbers whose ascending order is: most popular first, then by tie breaker."""
    # Popularity is not negative, so the bits of its float order like numbers.
    return (-np.abs(popularity).view(np.int32).astype(np.int64) << np.int64(31)) | ties


def make_view(mask: Mask, table: ItemTable, popular: Ints, cold: Ints) -> View:
    """Collect a view; which row an item has makes no difference to the order.

    Args:
        mask: [C], True where a row may answer.
        table: the items.
        popular: all rows, the most popular first.
        cold: rows without behaviour.
    """
    found = popular[: 8 * POPULAR]
    found = found[mask[found]]
    if len(found) < POPULAR:
        found = popular[mask[popular]]
    return View(mask, _spread(found[:POPULAR], table), cold[mask[cold]])


def _spread(rows: Ints, table: ItemTable) -> Ints:
    """Stable order by an item's place within its department."""
    seen: dict[int, int] = {}
    places = []
    for department in table.department[rows].tolist():
        places.append(seen.get(department, 0))
        seen[department] = places[-1] + 1
    return rows[np.argsort(np.array(places, np.int64), kind="stable")]

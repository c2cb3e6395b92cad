"""Two simple recommenders to beat: what is popular, and what was viewed in the same visits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.demo_clicks import Visit, batches
from training.demo_metrics import ranks

WINDOW = 10  # events between two items that still count as viewed together


def count_views(visits: Sequence[Visit], items: int) -> NDArray[np.float32]:
    """How often each item was touched, [n]."""
    counts = np.zeros(items, np.float32)
    for visit in visits:
        np.add.at(counts, [item for item, _ in visit], 1.0)
    return counts


def co_visits(visits: Sequence[Visit], items: int) -> NDArray[np.float32]:
    """Strength [n, n] with which the row's item leads to the column's: the sum of 1 / distance within a visit."""
    table = np.zeros((items, items), np.float32)
    for visit in visits:
        rows = [item for item, _ in visit]
        for place, item in enumerate(rows):
            for distance, later in enumerate(rows[place + 1 : place + 1 + WINDOW], start=1):
                table[item, later] += 1.0 / distance
    return table


def popularity_ranks(counts: NDArray[np.float32], visits: Sequence[Visit]) -> NDArray[np.float64]:
    """Ranks of the next items by popularity alone."""
    found = []
    for clicks in batches(visits, 2048, None):
        targets = clicks.targets[clicks.targets >= 0]
        found.append(ranks(np.broadcast_to(counts, (len(targets), len(counts))), targets))
    return np.concatenate(found)


def co_visit_ranks(table: NDArray[np.float32], counts: NDArray[np.float32], visits: Sequence[Visit]) -> NDArray[np.float64]:
    """Ranks of the next items by the newest item's co-visits; popularity breaks ties."""
    found = []
    tie = counts / (counts.max() * 1e4 + 1.0)
    for clicks in batches(visits, 2048, None):
        asked = clicks.targets >= 0
        found.append(ranks(table[clicks.items[asked]] + tie, clicks.targets[asked]))
    return np.concatenate(found)

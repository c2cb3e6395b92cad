"""Where a model is good: its figures by length of the prefix, by clicks of the target and by where the target stood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.sessions.data import Dataset, Ints
from training.sessions.metrics import summary


def _axes(data: Dataset) -> dict[str, tuple[Ints, tuple[int, ...]]]:
    """Value of each test query on each axis, and the lower edges of its groups."""
    counts = np.bincount(np.concatenate(data.full), minlength=data.items)
    clicks = np.where(data.test.targets >= 0, counts[np.maximum(data.test.targets, 0)], 0)
    width = data.test.items.shape[1]
    match = data.test.items[:, ::-1] == data.test.targets[:, None]
    lag = np.where(match.any(1) & (data.test.targets >= 0), match.argmax(1) + 1, width + 1)
    return {
        "length": (data.test.lengths, (1, 2, 3, 5, 8, 13)),
        "clicks": (clicks, (0, 1, 5, 10, 30, 100)),
        "position": (lag, (*(edge for edge in (1, 2, 3, 5, 10) if edge <= width), width + 1)),
    }


def breakdown(data: Dataset, found: NDArray[np.float64], k: int) -> dict[str, list[dict[str, Any]]]:
    """Figures of one model on each axis: `length`, `clicks` and `position` (clicks before the prefix's end)."""
    result: dict[str, list[dict[str, Any]]] = {}
    for name, (values, edges) in _axes(data).items():
        rows = []
        for low, high in zip(edges, (*edges[1:], None), strict=True):
            inside = (values >= low) & (values < high) if high is not None else values >= low
            if inside.any():
                end = "+" if high is None else ("" if high == low + 1 else f"–{high - 1}")
                label = "not in prefix" if name == "position" and high is None else f"{low}{end}"
                rows.append({"from": label, "queries": int(inside.sum()), **summary(found[inside], k)})
        result[name] = rows
    return result

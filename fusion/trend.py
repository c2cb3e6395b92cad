"""Trend counters: clicks of each item, counted with exponential forgetting at several speeds; O(1) per click."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class TrendCounters:
    """Counts over rows 0 … n-1 whose weight falls by e over `windows` clicks of the whole shop.

    A count is stored with the click number at which it was last touched and is brought forward when read, so a click
    changes one item's numbers only.

    Args:
        items: n.
        windows: clicks of the shop over which a click's weight falls by e, one for each speed.
    """

    def __init__(self, items: int, windows: tuple[float, ...]) -> None:
        if any(window <= 0 for window in windows):
            message = f"windows are {windows}, expected clicks above 0"
            raise ValueError(message)
        self.windows = np.asarray(windows, dtype=np.float64)
        self.total = np.zeros(items)
        self.clicks = 0
        self._counts = np.zeros((items, len(windows)))
        self._touched = np.zeros(items)

    def grow(self, items: int) -> None:
        """Make room for rows up to `items` - 1; fewer than there are changes nothing."""
        more = items - len(self.total)
        if more > 0:
            self.total = np.concatenate((self.total, np.zeros(more)))
            self._counts = np.concatenate((self._counts, np.zeros((more, len(self.windows)))))
            self._touched = np.concatenate((self._touched, np.zeros(more)))

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Everything counted, for a file: counts [n, speeds], touched [n], total [n], clicks [1], windows [speeds]."""
        return {
            "counts": self._counts,
            "touched": self._touched,
            "total": self.total,
            "clicks": np.array([float(self.clicks)]),
            "windows": self.windows,
        }

    @classmethod
    def restored(cls, state: Mapping[str, NDArray[np.float64]]) -> TrendCounters:
        """Inverse of :meth:`state`."""
        made = cls(len(state["total"]), tuple(state["windows"].tolist()))
        made.total, made.clicks = state["total"].copy(), int(state["clicks"][0])
        made._counts, made._touched = state["counts"].copy(), state["touched"].copy()
        return made

    def add(self, item: int) -> None:
        """One click on an item."""
        self.clicks += 1
        fade = np.exp((self._touched[item] - self.clicks) / self.windows)
        self._counts[item] = self._counts[item] * fade + 1.0
        self._touched[item] = self.clicks
        self.total[item] += 1.0

    def add_all(self, items: Ints) -> None:
        """Clicks in order; the same as `add` for each."""
        numbers = self.clicks + 1 + np.arange(len(items), dtype=np.float64)
        end = self.clicks + len(items)
        now = self.counts()
        for speed, window in enumerate(self.windows):
            fresh = np.bincount(items, weights=np.exp((numbers - end) / window), minlength=len(self.total))
            self._counts[:, speed] = now[:, speed] * np.exp(-len(items) / window) + fresh
        self.clicks = end
        self._touched[:] = end
        self.total += np.bincount(items, minlength=len(self.total))

    def counts(self, items: Ints | None = None) -> Floats:
        """Counts as of the newest click, float64 [n or len(items), speeds]."""
        chosen = slice(None) if items is None else items
        age = self.clicks - self._touched[chosen]
        counts: Floats = self._counts[chosen] * np.exp(-age[..., None] / self.windows)
        return counts

    def features(self) -> NDArray[np.float32]:
        """Per item: log of its clicks, then by speed the log of its share now against its share of all, [n, 1 + speeds]."""
        now = self.counts()
        share_all = (self.total + 1.0) / (self.total.sum() + len(self.total))
        scale = np.minimum(self.windows, max(self.clicks, 1))
        share_now = (now + scale * share_all[:, None] * 0.05) / (scale * 1.05)
        lift = np.log(share_now / share_all[:, None])
        return np.concatenate((np.log1p(self.total)[:, None], lift), axis=1).astype(np.float32)

    def unseen(self) -> NDArray[np.float32]:
        """What `features` tells of an item that was never clicked, whatever the others are: [1 + speeds]."""
        return np.array([0.0, *np.full(len(self.windows), np.log(0.05 / 1.05))], dtype=np.float32)

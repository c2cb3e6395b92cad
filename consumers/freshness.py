"""How fresh pages are when they arrive: from the moment the broker took the event until the page was here."""

from __future__ import annotations

from collections import deque
from statistics import quantiles


class Freshness:
    """Percentiles over the newest pages.

    Args:
        window: how many pages count.
    """

    def __init__(self, window: int = 100_000) -> None:
        self._milliseconds: deque[float] = deque(maxlen=window)
        self.pages = 0

    def add(self, milliseconds: float) -> None:
        """A page arrived this long after its event."""
        self._milliseconds.append(milliseconds)
        self.pages += 1

    def summary(self) -> dict[str, float]:
        """Milliseconds p50, p95, p99 and max over the window; empty before the first page."""
        found = self._milliseconds
        if not found:
            return {}
        if len(found) == 1:
            return dict.fromkeys(("p50", "p95", "p99", "max"), found[0])
        cuts = quantiles(found, n=100, method="inclusive")
        return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(found)}

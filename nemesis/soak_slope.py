"""Does something grow? A straight line through what was measured, with the uncertainty of its slope; pure.

Neighbouring samples of memory are alike, so a line through all of them would look far more certain than it is. The samples
are averaged in blocks first and the line is fitted to the blocks (batch means; Law and Kelton, Simulation Modeling and
Analysis, ch. 9).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t as students_t

Verdict = Literal["holds", "fails", "undecided"]
_BLOCKS = 20
_FEWEST = 5


@dataclass(frozen=True)
class Slope:
    """Change per hour, with the bounds of its 95 % confidence interval; all in the unit of the values."""

    per_hour: float
    low: float
    high: float
    first: float
    last: float

    def verdict(self, limit: float) -> Verdict:
        """Whether the growth is below the limit: only where the whole interval says so."""
        if self.high < limit:
            return "holds"
        return "fails" if self.low >= limit else "undecided"

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def slope(hours: Sequence[float], values: Sequence[float]) -> Slope | None:
    """Slope of the values over time, None for fewer than five samples.

    Args:
        hours: when, ascending.
        values: what, one for each.
    """
    if len(values) < _FEWEST:
        return None
    count = min(_BLOCKS, len(values))
    x = np.array([block.mean() for block in np.array_split(np.asarray(hours, dtype=float), count)])
    y = np.array([block.mean() for block in np.array_split(np.asarray(values, dtype=float), count)])
    around = x - x.mean()
    spread = float((around**2).sum())
    rise = float((around * y).sum() / spread)
    rest = y - y.mean() - rise * around
    error = float(np.sqrt((rest**2).sum() / (count - 2) / spread))
    margin = float(students_t.ppf(0.975, count - 2)) * error
    return Slope(rise, rise - margin, rise + margin, float(y[0]), float(y[-1]))


def is_flat(values: Sequence[float], tolerance: float = 0.0) -> bool:
    """Whether the last quarter's middle value is not above the first quarter's by more than the tolerance."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[:quarter]) <= tolerance

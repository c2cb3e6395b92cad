"""The highest rate that keeps its promise, by step load; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

RATES = (
    200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0, 1800.0, 2000.0, 2300.0, 2600.0, 3000.0, 4000.0, 6000.0,
)  # fmt: skip


def highest_rate(holds: Callable[[float], bool], start: float, rates: Sequence[float] = RATES) -> float:
    """The highest of `rates` that holds, walking up from `start` or halving below it; 0 if none does.

    A rate that fails is tried a second time before it counts as failed: one pause of the machine is no limit of a system.

    Args:
        holds: loads the system with a rate and tells whether it kept its promise.
        start: where to begin.
        rates: ascending.
    """

    def surely(place: int) -> bool:
        return holds(rates[place]) or holds(rates[place])

    place = max((number for number, rate in enumerate(rates) if rate <= start), default=0)
    if surely(place):
        while place + 1 < len(rates) and surely(place + 1):
            place += 1
        return rates[place]
    holds_at, fails_at = -1, place
    while fails_at - holds_at > 1:
        middle = (holds_at + fails_at) // 2
        if surely(middle):
            holds_at = middle
        else:
            fails_at = middle
    return rates[holds_at] if holds_at >= 0 else 0.0

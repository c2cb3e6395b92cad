"""The highest rate that keeps its promise, by step load; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

RATES = (*(100.0 * hundreds for hundreds in range(2, 21)), 2300.0, 2600.0, 3000.0, 4000.0, 6000.0)
TRIES = 3


def highest_rate(holds: Callable[[float], bool], start: float, rates: Sequence[float] = RATES) -> float:
    """The highest of `rates` that holds, walking up from `start` or halving below it; 0 if none does.

    A rate is tried up to `TRIES` times before it counts as failed: a pause of the machine is no limit of a system.

    Args:
        holds: loads the system with a rate and tells whether it kept its promise.
        start: where to begin.
        rates: ascending.
    """

    def surely(place: int) -> bool:
        return any(holds(rates[place]) for _ in range(TRIES))

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

"""Events of a file at the pace at which they happened, or faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from contracts.events import Event


def paced(
    events: Iterable[Event],
    speed: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Event]:
    """Yield each event when it is due: `speed` times as fast as the event times say; 0 means at once.

    Events that are older than the one before are due at once, so the order of the file stays.
    """
    started = monotonic()
    first: int | None = None
    for event in events:
        if speed > 0:
            first = event.time if first is None else first
            wait = (event.time - first) / 1000 / speed - (monotonic() - started)
            if wait > 0:
                sleep(wait)
        yield event

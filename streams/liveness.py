"""The clocks of this machine, and whether a worker moves; no Faust."""

from __future__ import annotations

import time
from dataclasses import dataclass

from monitoring.server import Health

STALL_SECONDS = 10.0


class SystemClock:
    """`streams.ports.Clock` of this machine."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()


@dataclass
class Movement:
    """When the worker last stood with nothing waiting, or moved: standing still with work waiting is trouble."""

    at: float
    offsets: int = -1

    def observe(self, now: float, done: int, lag: int) -> None:
        """Told once a second: the sum of the done offsets, and how many records wait."""
        if lag == 0 or done != self.offsets:
            self.at, self.offsets = now, done

    def trouble(self, now: float) -> str | None:
        """What is wrong, or None."""
        standing = now - self.at
        return f"no progress for {standing:.0f} s while records wait" if standing > STALL_SECONDS else None


class Readiness:
    """What a worker says of itself: ready and moving, getting ready, or standing still.

    Getting ready may take minutes, since a worker reads the catalogue and the sessions of its partitions back first, and again
    after a rebalance. Who ends it for that makes it begin anew, and the others with it.

    Args:
        now: monotonic seconds, as in every call.
    """

    def __init__(self, now: float) -> None:
        self.movement = Movement(now)
        self._changed_at = now
        self._seen: object = None

    def preparing(self, now: float, seen: object, detail: str) -> Health:
        """It is not ready; `seen` is something that changes while it gets on."""
        self.movement.at = now  # what waits meanwhile is no standstill
        if seen != self._seen:
            self._changed_at, self._seen = now, seen
        standing = now - self._changed_at
        if standing > STALL_SECONDS:
            return Health(healthy=False, detail=f"{detail}; nothing has come for {standing:.0f} s")
        return Health(healthy=False, busy=True, detail=detail)

    def ready(self, now: float) -> Health:
        """It has what it needs."""
        self._changed_at, self._seen = now, None
        trouble = self.movement.trouble(now)
        return Health(healthy=trouble is None, detail=trouble or "ok")

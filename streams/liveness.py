"""The clocks of this machine, and whether a worker moves."""

from __future__ import annotations

import time
from dataclasses import dataclass

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

"""Whether a worker may still believe that its partitions are its own: not after it stood still.

A process that was stopped, or whose loop hung, wakes up with the group's generation of before in its memory, while the
broker may have given its partitions away. It must write nothing until its heartbeats have told it (a lease, after Gray
and Cheriton 1989, renewed by the loop that it fences).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_SIGNS_PER_LIMIT = 10


class Lease:
    """Notices that the loop stood still.

    Args:
        session_timeout_seconds: of the consumer group; half of it without a sign of life ends the lease. The broker waits
            for the whole of it since the last heartbeat, and four heartbeats come in it.
        monotonic: seconds; goes on while the process is stopped.
    """

    def __init__(self, session_timeout_seconds: float, monotonic: Callable[[], float]) -> None:
        self._limit = session_timeout_seconds / 2
        self._monotonic = monotonic
        self._seen = monotonic()
        self._ended_until = float("-inf")
        self.lapses = 0

    def holds(self) -> bool:
        """Whether the loop ran all the time, or long enough since it stood still for the heartbeats to be answered."""
        now = self._monotonic()
        if now - self._seen > self._limit:
            self._ended_until = now + self._limit
            self.lapses += 1
        self._seen = now
        return now >= self._ended_until

    async def keep(self) -> None:
        """Give signs of life until cancelled."""
        while True:
            self.holds()
            await asyncio.sleep(self._limit / _SIGNS_PER_LIMIT)

"""When a process counts as healthy and when it is replaced: pure, told what was observed and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What the newest observation means."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    REPLACE = "replace"


@dataclass(frozen=True)
class HealthRule:
    """How patient a judge is.

    Attributes:
        start_seconds: longest time from start to healthy.
        misses: failed observations in a row that make a healthy process unhealthy.
        miss_seconds: time that failures must last, besides, before it is replaced.
        hits: good observations in a row that make a process healthy.
    """

    start_seconds: float = 60.0
    misses: int = 2
    miss_seconds: float = 0.0
    hits: int = 1


class HealthJudge:
    """Judges one start of one process.

    Args:
        rule: how patient.
        now: when the process started, seconds of a monotonic clock.
    """

    def __init__(self, rule: HealthRule, now: float) -> None:
        self.rule = rule
        self._started = now
        self._hits = 0
        self._misses = 0
        self._first_miss = now
        self._was_healthy = False
        self.is_healthy = False

    def observe(self, is_good: bool, now: float) -> Verdict:
        """Take in one observation."""
        if is_good:
            return self._hit()
        self._hits = 0
        if self._misses == 0:
            self._first_miss = now
        self._misses += 1
        if not self._was_healthy:
            return Verdict.REPLACE if now - self._started > self.rule.start_seconds else Verdict.STARTING
        if self._misses < self.rule.misses:
            return Verdict.HEALTHY if self.is_healthy else Verdict.UNHEALTHY
        self.is_healthy = False
        return Verdict.REPLACE if now - self._first_miss >= self.rule.miss_seconds else Verdict.UNHEALTHY

    def excuse(self, now: float) -> None:
        """Take in a failed observation that is another's fault: not healthy, but no reason to replace it."""
        self._hits = self._misses = 0
        self.is_healthy = False
        if not self._was_healthy:
            self._started = now

    def _hit(self) -> Verdict:
        self._misses = 0
        self._hits += 1
        if self._hits >= self.rule.hits:
            self.is_healthy = self._was_healthy = True
        return Verdict.HEALTHY if self.is_healthy else Verdict.STARTING


class Backoff:
    """Waiting time before a restart: none for the first, then doubling; forgotten after a minute of health.

    Args:
        first_seconds: wait before the second restart.
        most_seconds: longest wait.
    """

    def __init__(self, first_seconds: float = 0.5, most_seconds: float = 10.0, forget_seconds: float = 60.0) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._forget = forget_seconds
        self._restarts = 0
        self._last = 0.0

    def next(self, now: float) -> float:
        """Seconds to wait before the restart that is due now."""
        if now - self._last > self._forget:
            self._restarts = 0
        self._last = now
        self._restarts += 1
        return 0.0 if self._restarts == 1 else min(self._most, self._first * 2.0 ** (self._restarts - 2))

"""Clicks in order become finished sessions, by event time, so that a replay of last month gives the same sessions."""

from __future__ import annotations

from training.continual.clicks import Click

Session = tuple[str, ...]
MAX_OPEN = 100_000


class SessionGatherer:
    """Gathers each visitor's clicks until the visitor has been idle.

    Args:
        idle_ms: a click later than this after the visitor's last one begins a new session; so does the clock of the log.
        longest: newest clicks kept of a session.
        most_open: sessions gathered at once; past it the one that has been silent longest is finished.
    """

    def __init__(self, idle_ms: int = 1_800_000, longest: int = 50, most_open: int = MAX_OPEN) -> None:
        self._idle, self._longest, self._most = idle_ms, longest, most_open
        self._open: dict[str, tuple[int, list[str]]] = {}  # the visitor who was heard last is the last
        self._now = 0

    def add(self, click: Click) -> list[Session]:
        """Take one click; the sessions of two clicks or more that it shows to be over."""
        self._now = max(self._now, click.time)
        over = self._expired()
        time, items = self._open.pop(click.visitor, (click.time, []))
        if len(items) < self._longest:
            items.append(click.item)
        else:
            items[:] = [*items[1:], click.item]
        self._open[click.visitor] = max(time, click.time), items
        if len(self._open) > self._most:
            over += self._finished(next(iter(self._open)))
        return over

    def _expired(self) -> list[Session]:
        over: list[Session] = []
        while self._open:
            visitor = next(iter(self._open))
            if self._now - self._open[visitor][0] <= self._idle:
                break
            over += self._finished(visitor)
        return over

    def _finished(self, visitor: str) -> list[Session]:
        _, items = self._open.pop(visitor)
        return [tuple(items)] if len(items) > 1 else []

    def rest(self) -> list[Session]:
        """The sessions that are still open, at the end of a log."""
        return [session for visitor in list(self._open) for session in self._finished(visitor)]

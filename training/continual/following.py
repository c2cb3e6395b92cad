"""Follows the event log: clicks become sessions, sessions teach, what is better is published; the loop of `train follow`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fusion.artefact import Artefact
from training.continual.clicks import ClickLog
from training.continual.gathering import Session, SessionGatherer
from training.continual.learner import Learner, Update
from training.continual.memory import Memory, save
from training.continual.publishing import artefact_of, newest, publish

Published = Callable[[Path], None]
"""Told the folder of each new version."""


@dataclass(frozen=True)
class Progress:
    """How far the log has been followed."""

    clicks: int
    sessions: int
    remembered: int
    updates: int
    published: int


class Follower:
    """One learner on one log.

    Args:
        learner: with the model that serves.
        memory: rows, old slice and reservoir; the learner's own.
        base: the artefact that new versions are made from.
        out: folder of the versions and of the memory.
        first: sessions that fill the memory before any is taught.
    """

    def __init__(self, learner: Learner, memory: Memory, base: Artefact, out: Path, first: int) -> None:
        self.learner, self.memory, self.base, self.out = learner, memory, base, out
        self._first = first
        self._gatherer = SessionGatherer()
        self._clicks = self._sessions = self._published = 0

    def follow(
        self, log: ClickLog, tell: Callable[[Progress, Update | None], None], published: Published = lambda _: None
    ) -> None:
        """Read the log to its end, if it has one.

        Args:
            log: clicks in order.
            tell: called after each poll and after each update.
            published: called with the folder of each new version.
        """
        time_ms = kept = 0
        while (clicks := log.poll()) is not None:
            for click in clicks:
                self._clicks += 1
                time_ms = max(time_ms, click.time)
                self._take(self._gatherer.add(click), click.time, tell, published)
            if len(self.learner.updates) > kept:
                # A crash loses the sessions that are open or wait in this moment: learning is no ledger.
                kept = len(self.learner.updates)
                self._keep(log)
            tell(self.progress, None)
        self._take(self._gatherer.rest(), time_ms, tell, published)
        self._keep(log)

    def _keep(self, log: ClickLog) -> None:
        save(self.memory, self.out)
        log.commit()

    def _take(
        self, sessions: list[Session], time_ms: int, tell: Callable[[Progress, Update | None], None], published: Published
    ) -> None:
        self._sessions += len(sessions)
        missing = max(0, self._first - len(self.memory.old) - self.memory.reservoir.seen)
        self.memory.fill([self.memory.rows.take(session) for session in sessions[:missing]])
        if len(sessions) <= missing:
            return
        sessions = sessions[missing:]
        if not len(self.learner.old):
            self.learner.old = self.memory.old_queries
        update = self.learner.add(sessions, time_ms)
        if update is not None:
            if update.published:
                published(self._publish(update))
            tell(self.progress, update)

    def _publish(self, update: Update) -> Path:
        self._published += 1
        version = max(newest(self.out) or 0, self.base.version) + 1
        made = artefact_of(self.base, self.learner.model, self.memory.rows, version, update.as_json())
        return publish(made, self.out)

    @property
    def progress(self) -> Progress:
        """Counts so far."""
        return Progress(self._clicks, self._sessions, len(self.memory.reservoir), len(self.learner.updates), self._published)

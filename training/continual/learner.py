"""The continual learner: new sessions and a replay of old ones teach a copy of the model, published only if it is better.

An update that loses on the fixed old slice, or does not gain on the newest sessions, is thrown away; its sessions stay in the
reservoir and teach the next one.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.continual.drift import Drift, drift
from training.continual.growth import ItemRows, grown
from training.continual.reservoir import Reservoir
from training.sessions.data import Ints, Queries, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.metrics import summary
from training.small.tuning import Tuning, tune

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContinualRecipe:
    """When and how the learner learns, and what it may publish.

    Attributes:
        sessions: finished sessions after which it learns.
        hours: event time after which it learns even if there are fewer, provided there are `fewest`.
        fewest: sessions below which an update tells nothing.
        held: share of the new sessions, the newest, that judge the update; they teach the next one.
        replay: old sessions for each new one.
        epochs: over new and replayed sessions.
        learning_rate: at its highest.
        targets: of a step.
        tolerance: relative loss on the old slice, against the first model, that is still published.
        most_drift: Jensen-Shannon divergence beyond what chance gives at which nothing is learned: a broken tracker or bots.
        k: cut-off of the figures.
        seed: of order and draws.
    """

    sessions: int = 500
    hours: float = 12.0
    fewest: int = 50
    held: float = 0.2
    replay: float = 3.0
    epochs: int = 2
    learning_rate: float = 1e-3
    targets: int = 512
    tolerance: float = 0.01
    most_drift: float = 0.6
    k: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Update:
    """What became of one update.

    Attributes:
        number: of the update, from 1.
        time: event time of the newest click, ms.
        sessions: new ones that taught.
        items: rows that the candidate knows.
        drift: of the new sessions from the reservoir.
        old: figure of the candidate on the old slice and, `before`, of the model that serves.
        newest: likewise on the newest sessions.
        loss: mean training loss of each epoch.
        published: whether the candidate serves now.
        why: in words.
        seconds: of the update.
    """

    number: int
    time: int
    sessions: int
    items: int
    drift: Drift
    old: dict[str, float]
    newest: dict[str, float]
    loss: list[float]
    published: bool
    why: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass
class Learner:
    """Holds the model that serves and what is needed to teach the next one.

    Args:
        model: the first model; knows the first rows of `rows`.
        encoder: its recipe.
        recipe: of the updates.
        rows: rows of item ids.
        old: queries of the fixed old slice, never trained on.
        reservoir: sessions that the model was trained on.
        freeze_items: teach the encoder only and leave all item vectors as they are, so that the new version can be flipped
            to beside the old one without encoding a single item anew; then new items are not learned.
    """

    model: SessionModel
    encoder: EncoderRecipe
    recipe: ContinualRecipe
    rows: ItemRows
    old: Queries
    reservoir: Reservoir
    freeze_items: bool = False
    updates: list[Update] = field(default_factory=list)
    _waiting: list[Ints] = field(default_factory=list)
    _since: int | None = None
    _first_old: float | None = None

    def add(self, sessions: Sequence[Sequence[str]], time_ms: int) -> Update | None:
        """Take finished sessions at an event time; learns when the schedule says so."""
        for session in sessions:
            taken = self.rows.find(session) if self.freeze_items else self.rows.take(session)
            known = taken[taken >= 0]
            if len(known) > 1:
                self._waiting.append(known)
        self._since = time_ms if self._since is None else self._since
        late = time_ms - self._since >= self.recipe.hours * 3_600_000
        if len(self._waiting) >= self.recipe.sessions or (late and len(self._waiting) >= self.recipe.fewest):
            return self.update(time_ms)
        return None

    def update(self, time_ms: int) -> Update:
        """Learn from the sessions that wait, judge, and keep the better model.

        Raises:
            ValueError: if fewer than two sessions wait.
        """
        began = time.perf_counter()
        held = max(1, int(len(self._waiting) * self.recipe.held))
        new, newest = self._waiting[:-held], self._waiting[-held:]
        if not new:
            message = f"{len(self._waiting)} sessions wait, expected two or more"
            raise ValueError(message)
        moved = self._drift(self._waiting)
        number = len(self.updates) + 1
        too_far = moved.js - moved.js_by_chance > self.recipe.most_drift
        candidate, losses = (self.model, []) if too_far else self._taught(new, number)
        old, fresh = self._compare(candidate, self.old), self._compare(candidate, prefixes_of(newest))
        published, why = (False, "the clicks are too far from the old ones") if too_far else self._verdict(old, fresh)
        if published:
            self.model = candidate
        if not too_far:  # clicks that are not trusted do not enter the memory either
            self.reservoir.add(new)
        self._waiting, self._since = list(newest) if not too_far else [], time_ms
        seconds = time.perf_counter() - began
        done = Update(
            number, time_ms, len(new), len(candidate.vectors), moved, old, fresh, losses, published, why, round(seconds, 3)
        )
        self.updates.append(done)
        LOG.info("update", extra={"number": number, "published": published, "why": why, "sessions": len(new)})
        return done

    def _drift(self, sessions: Sequence[Ints]) -> Drift:
        counts = np.bincount(np.concatenate(list(sessions)), minlength=len(self.rows)).astype(np.int64)
        return drift(self.reservoir.counts(len(counts)), counts)

    def _taught(self, new: Sequence[Ints], number: int) -> tuple[SessionModel, list[float]]:
        """A copy that has learned from new sessions and a replay."""
        known = len(self.model.vectors)
        items = known if self.freeze_items else max(known, 1 + max(int(session.max()) for session in new))
        candidate = copy.deepcopy(self.model) if items == known else grown(self.model, items, new, self.encoder)
        candidate.vectors.requires_grad_(not self.freeze_items)
        replay = [session for session in self.reservoir.draw(int(self.recipe.replay * len(new))) if session.max() < items]
        how = Tuning(
            self.recipe.epochs,
            targets=self.recipe.targets,
            learning_rate=self.recipe.learning_rate,
            negatives=self.encoder.negatives,
            seed=self.recipe.seed + number,
        )
        _, losses = tune(candidate, [*new, *replay], how)
        return candidate, losses

    def _compare(self, candidate: SessionModel, queries: Queries) -> dict[str, float]:
        """Recall@k of the candidate, and `before` of the serving model, on the same queries; unknown targets are misses."""
        name = f"recall@{self.recipe.k}"
        figures = {}
        for key, model in ((name, candidate), ("before", self.model)):
            figures[key] = summary(encoder_ranks(model, known_to(model, queries), mask_seen=False), self.recipe.k)[name]
        return figures

    def _verdict(self, old: dict[str, float], newest: dict[str, float]) -> tuple[bool, str]:
        name = f"recall@{self.recipe.k}"
        self._first_old = old["before"] if self._first_old is None else self._first_old
        least = (1.0 - self.recipe.tolerance) * self._first_old
        if old[name] < least:
            return False, f"old slice {old[name]:.4f}, expected {least:.4f} or more"
        if newest[name] < newest["before"]:
            return False, f"newest sessions {newest[name]:.4f}, the serving model has {newest['before']:.4f}"
        return True, f"newest sessions {newest['before']:.4f} -> {newest[name]:.4f}, old slice {old[name]:.4f}"


def known_to(model: SessionModel, queries: Queries) -> Queries:
    """The queries as a model with fewer rows sees them: unknown clicks are left out, unknown targets are -1."""
    items = len(model.vectors)
    if queries.items.max(initial=-1) < items and queries.targets.max(initial=-1) < items:
        return queries
    kept = (queries.items >= 0) & (queries.items < items)
    order = np.argsort(kept, axis=1, kind="stable")  # what is left moves to the end, in its order
    moved = np.take_along_axis(np.where(kept, queries.items, -1), order, axis=1)
    return Queries(moved, np.where(queries.targets < items, queries.targets, -1))

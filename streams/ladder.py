"""The ladder of degradation: what a page is made of when the ranker is slow, away, or has nothing to say.

1. `fusion-ranker`: the ranker's answer; while its calls are slow it is asked for less (:class:`Pace`).
2. `co-visit`: what others touched after the visitor's newest items (:class:`streams.neighbours.CoVisits`).
3. `popular-in-category`: popular in the category of the page or of the last item, then in the shop.
4. `last-page`: what the visitor was shown before (:class:`LastPages`), when the catalogue has nothing to show.

Each lower rung fills up what the one above left open; the page is called after the highest that gave something.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from contracts.keys import category_key, tenant_key
from contracts.tensors import Candidate, Effort, EventKind
from streams.batch import Visit
from streams.items import ItemView
from streams.neighbours import CoVisits
from streams.page import Scored, popular, showable
from streams.sessions import SessionState, excluded

_WEIGHT = 0.1  # of the newest call in the average: one slow call in a row of quick ones changes nothing
_RELIEF = 0.7  # of the limit, below which full effort is asked for again


class Rung(Enum):
    """Who made the page; the value is its `model.name`."""

    RANKED = "fusion-ranker"
    NEIGHBOURS = "co-visit"
    POPULAR = "popular-in-category"
    LAST_PAGE = "last-page"


class Pace:
    """How much work the ranker is asked for, by an average of how long its calls took (EWMA) with hysteresis.

    Args:
        slow_seconds: a usual call above it is slow.
    """

    def __init__(self, slow_seconds: float) -> None:
        self._slow = slow_seconds
        self._usual = 0.0
        self.effort = Effort.FULL

    def observe(self, seconds: float) -> None:
        """A call was answered after this time."""
        self._usual += _WEIGHT * (seconds - self._usual)
        if self._usual > self._slow:
            self.effort = Effort.REDUCED
        elif self._usual < _RELIEF * self._slow:
            self.effort = Effort.FULL


class LastPages:
    """What visitors were shown last, of the newest `most` visitors, in this worker's memory only."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._pages: OrderedDict[bytes, tuple[Scored, ...]] = OrderedDict()

    def keep(self, key: bytes, chosen: Sequence[Scored]) -> None:
        """The visitor was shown this."""
        self._pages[key] = tuple(chosen)
        self._pages.move_to_end(key)
        if len(self._pages) > self._most:
            self._pages.popitem(last=False)

    def of(self, key: bytes) -> tuple[Scored, ...]:
        """What the visitor was shown last; nothing if that is not known."""
        return self._pages.get(key, ())

    def forget(self, key: bytes) -> None:
        """The visitor is not to be remembered."""
        self._pages.pop(key, None)


@dataclass
class Ladder:
    """Fills pages that the ranker left open.

    Args:
        view: the live items.
        size: of a page.
        pace: of the ranker's calls.
    """

    view: ItemView
    size: int
    pace: Pace
    neighbours: CoVisits = field(default_factory=CoVisits)
    last_pages: LastPages = field(default_factory=LastPages)

    def learn(self, visit: Visit) -> None:
        """Learn from touches that the ranker has just taken in, so that each counts once; the visit as it was sent."""
        if not visit.is_stored:
            return
        state = visit.state
        for key, _ in state.pending:
            self.view.touch(key)
        self.neighbours.learn([key for key, kind in state.recent[-1:] + state.pending if kind != EventKind.REMOVE])

    def warm(self, states: Iterable[SessionState]) -> None:
        """Learn from sessions of before a restart."""
        for state in states:
            self.neighbours.learn([key for key, kind in state.recent if kind != EventKind.REMOVE])

    def fill(self, visit: Visit, ranked: Sequence[Scored] | None) -> tuple[list[Scored], Rung]:
        """The items of the page, and the rung it is called after.

        Args:
            visit: whose page it is.
            ranked: what the ranker's answer gave, None if there is no answer.
        """
        state, tenant_id, now = visit.state, visit.trigger.tenant_id, visit.incoming.timestamp
        chosen, rung = list(ranked or ()), Rung.RANKED if ranked else Rung.POPULAR
        hidden = set(excluded(state))
        if ranked is None:
            chosen = self._followers(state, hidden, now)
            rung = Rung.NEIGHBOURS if chosen else Rung.POPULAR
        if len(chosen) < self.size:
            seen = hidden | {candidate.card.key for candidate in chosen}
            category = self._category(state, tenant_id)
            chosen += popular(self.view, tenant_key(tenant_id), category, seen, now, self.size - len(chosen))
        if not chosen and visit.is_stored:
            chosen = [shown for shown in self.last_pages.of(visit.key) if shown.card.key not in hidden]
            rung = Rung.LAST_PAGE if chosen else rung
        if visit.is_stored and chosen:
            self.last_pages.keep(visit.key, chosen)
        elif not visit.is_stored:
            self.last_pages.forget(visit.key)
        return chosen, rung

    def _followers(self, state: SessionState, hidden: set[int], now: int) -> list[Scored]:
        touched = [key for key, kind in reversed(state.recent + state.pending) if kind != EventKind.REMOVE]
        found = showable(self.view, self.neighbours.of(touched), hidden, now, self.size)
        return [Scored(card, 0.5 / (1 + place), Candidate.CO_VISIT) for place, (_, card) in enumerate(found)]

    def _category(self, state: SessionState, tenant_id: str) -> int:
        """Where popular items are looked for first: the page's category, else that of the last item touched."""
        if state.category:
            return category_key(tenant_id, state.category)
        for key, _ in reversed(state.recent + state.pending):
            card = self.view.cards.get(key)
            if card is not None:
                return card.category_key
        return 0

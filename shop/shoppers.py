"""Simulated shoppers: seeded people with tastes who look around, react to the pages that they get, and sometimes buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contracts.events import Event, EventItem, EventName, Page
from contracts.recommendations import PageRecommendation
from shop.kinds import KINDS
from shop.taste import Floats, Shelf, draw_taste, kind_row

Action = Literal["home", "view", "click", "cart", "wishlist", "remove", "dismiss", "purchase"]

_NAMES: dict[Action, EventName] = {
    "home": "page_view", "view": "view_item", "click": "select_item", "cart": "add_to_cart", "wishlist": "add_to_wishlist",
    "remove": "remove_from_cart", "dismiss": "dismiss_item", "purchase": "purchase",
}  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What a shopper does next.

    Attributes:
        action: `click` is a view that came from the page, `view` one that came from looking around.
        rows: the products concerned, rows of the shelf.
        position: place on the page of a click or a dismissal, else None.
        seen: how many places of the page the shopper looked at.
    """

    action: Action
    rows: tuple[int, ...] = ()
    position: int | None = None
    seen: int = 0


@dataclass(frozen=True)
class Habits:
    """How shoppers behave; probabilities per step."""

    leave: float = 0.09
    shift: float = 0.07
    go_with: float = 0.25
    revisit: float = 0.10
    attention: float = 0.90
    """Chance to look at the next place of the page after the last one: the further down, the fewer see it."""
    threshold: float = 7.0
    """Utility at which a place that was looked at is clicked half of the time."""


class Shopper:
    """One visitor, live or offline; the same seed and pages give the same events."""

    def __init__(
        self, visitor_id: str, shelf: Shelf, seed: int, habits: Habits | None = None, may_see_new: bool = True
    ) -> None:
        self.visitor_id = visitor_id
        self.habits = habits or Habits()
        self._shelf = shelf
        self._rng = np.random.default_rng(seed)
        self._allowed = shelf.is_open & (may_see_new | ~shelf.is_new)
        self.taste = draw_taste(self._rng)
        self._likes = self.taste.utility(shelf)
        self._sessions = 0
        self._events = 0
        self._is_here = False
        self._viewed: list[int] = []
        self._cart: list[int] = []
        self._bought: set[int] = set()
        self._dismissed: set[int] = set()
        self._wanted = self._likes

    @property
    def persona(self) -> str:
        """Name of the shopper's persona."""
        return self.taste.persona.name

    @property
    def gone(self) -> tuple[int, ...]:
        """Rows that a page would not show this visitor: in the cart, bought or dismissed."""
        return (*self._cart, *self._bought, *self._dismissed)

    def _arrive(self) -> None:
        self._is_here = True
        self._sessions += 1
        self._viewed = []
        self._cart = []
        self._want(self._pick_kind())

    def _pick_kind(self) -> int:
        weights = np.exp(self.taste.kind - self.taste.kind.max())
        return int(self._rng.choice(len(weights), p=weights / weights.sum()))

    def _want(self, kind: int) -> None:
        """Look for one type of product, often in one colour or style, from now on."""
        shelf, rng = self._shelf, self._rng
        wanted = self._likes + 6.0 * (shelf.kind == kind) + 0.8 * (shelf.department == shelf.department[shelf.kind == kind][0])
        for column, weight in ((shelf.colour, 1.5), (shelf.style, 1.0)):
            if rng.random() < 0.6:
                wanted = wanted + weight * (column == column[self._sample(wanted)])
        self._wanted = wanted

    def _sample(self, scores: Floats) -> int:
        """A row of the shelf, the likelier the higher its score; never one that cannot be bought."""
        keys = np.where(self._allowed, scores, -np.inf) + self._rng.gumbel(size=len(scores))
        return int(keys.argmax())

    def _attraction(self) -> Floats:
        """Scores [n] right now: the wish, pulled towards what was just looked at, away from what was seen before."""
        shelf = self._shelf
        scores = self._wanted.copy()
        if self._viewed:
            last = self._viewed[-1]
            scores += 0.7 * (shelf.colour == shelf.colour[last]) + 0.6 * (shelf.pattern == shelf.pattern[last])
            scores += 0.4 * (shelf.brand == shelf.brand[last]) + 1.7 * (shelf.collection == shelf.collection[last])
            scores -= 0.7 * np.abs(shelf.dearness - shelf.dearness[last])
            scores[self._viewed] -= 2.2
        for gone in (self._bought, self._dismissed, self._cart):
            scores[list(gone)] -= 8.0
        return scores

    def decide(self, shown: Sequence[int] | None) -> Decision | None:
        """The next thing this shopper does.

        Args:
            shown: rows of the shelf on the page in its order, or None if there is no page.

        Returns:
            None when the shopper leaves; the call after that begins a new visit.
        """
        if not self._is_here:
            self._arrive()
            return Decision("home")
        if self._viewed and self._rng.random() < self.habits.leave:
            self._is_here = False
            if self._cart and self._rng.random() < 0.45:
                bought = tuple(self._cart)
                self._bought.update(bought)
                self._is_here = True
                self._viewed = []
                self._cart = []
                return Decision("purchase", bought)
            return None
        return self._after_view() or self._look(shown)

    def _after_view(self) -> Decision | None:
        """Cart, wish list or change of mind about the item that was just viewed."""
        if not self._viewed:
            return None
        last, chance = self._viewed[-1], self._rng.random()
        delight = 1.0 / (1.0 + np.exp(8.0 - self._wanted[last]))
        if last not in self._cart and chance < 0.20 * delight:
            self._cart.append(last)
            if self._rng.random() < 0.6:
                partners = KINDS[int(self._shelf.kind[last])].goes_with
                self._want(kind_row(str(self._rng.choice(partners))))
            return Decision("cart", (last,))
        if chance > 1.0 - 0.04 * delight:
            return Decision("wishlist", (last,))
        if self._cart and 0.5 < chance < 0.51:
            return Decision("remove", (self._cart.pop(0),))
        return None

    def _look(self, shown: Sequence[int] | None) -> Decision:
        if self._rng.random() < self.habits.shift:
            if self._viewed and self._rng.random() < self.habits.go_with:
                partners = KINDS[int(self._shelf.kind[self._viewed[-1]])].goes_with
                self._want(kind_row(str(self._rng.choice(partners))))
            else:
                self._want(self._pick_kind())
        scores = self._attraction()
        seen = 0
        if shown is not None and len(shown):
            decision = self._read(shown, scores)
            if decision.action != "view":
                return decision
            seen = decision.seen
        if self._viewed and self._rng.random() < self.habits.revisit:
            row = self._viewed[int(self._rng.integers(len(self._viewed)))]
        else:
            row = self._sample(scores)
        self._viewed.append(row)
        return Decision("view", (row,), seen=seen)

    def _read(self, shown: Sequence[int], scores: Floats) -> Decision:
        """Read the page from the top until something is clicked or dismissed or interest ends."""
        for position, row in enumerate(shown):
            click = 1.0 / (1.0 + np.exp(self.habits.threshold - scores[row]))
            chance = self._rng.random()
            if self._allowed[row] and chance < click:
                self._viewed.append(row)
                return Decision("click", (row,), position, position + 1)
            if chance > 0.996 and scores[row] < 0.0:
                self._dismissed.add(row)
                return Decision("dismiss", (row,), position, position + 1)
            if self._rng.random() > self.habits.attention:
                return Decision("view", seen=position + 1)
        return Decision("view", seen=len(shown))

    def next_event(self, page: PageRecommendation | None, now_ms: int) -> Event | None:
        """The next event, in reply to a page or on the shopper's own account.

        Args:
            page: the newest page that this visitor got, or None.
            now_ms: the event's time, milliseconds since the epoch.

        Returns:
            None when the shopper leaves; the call after that begins a new visit.
        """
        on_page = _items_of(page, self._shelf) if page is not None else []
        decision = self.decide([row for row, _ in on_page] if on_page else None)
        if decision is None:
            return None
        self._events += 1
        shelf = self._shelf
        places = dict(on_page)
        token = page.attribution_token if page is not None and decision.position is not None else None
        items = tuple(
            EventItem(item_id=shelf.item_ids[row], price=float(shelf.price[row]), index=places.get(row) if token else None)
            for row in decision.rows
        )
        is_purchase = decision.action == "purchase"
        return Event(
            event_id=f"{self.visitor_id}-{self._sessions}-{self._events}",
            event_name=_NAMES[decision.action],
            event_time=now_ms,
            visitor_id=self.visitor_id,
            session_id=f"{self.visitor_id}-{self._sessions}",
            page=Page(page_type="home" if decision.action == "home" else "product"),
            items=items,
            currency="EUR" if items else None,
            value=float(sum(shelf.price[row] for row in decision.rows)) if is_purchase else None,
            transaction_id=f"{self.visitor_id}-{self._sessions}-t{self._events}" if is_purchase else None,
            attribution_token=token,
        )


def _items_of(page: PageRecommendation, shelf: Shelf) -> list[tuple[int, int]]:
    """Rows of the page's products that the shelf knows, with their index, first placement first."""
    found: dict[int, int] = {}
    for placement in page.placements:
        for item in placement.items:
            row = shelf.rows.get(item.item_id)
            if row is not None:
                found.setdefault(row, item.index)
    return list(found.items())

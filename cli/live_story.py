"""What the live view tells: one shopper's steps, the page after each, and the milliseconds; pure, fed with messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

from contracts.catalog import CatalogItem
from contracts.events import Event
from contracts.recommendations import PageRecommendation

_SILENT_SECONDS = 12.0  # then the shopper has left and another is followed
_STEPS = 9
_WINDOW = 1000  # newest pages that the percentiles are taken from
_RATE_SECONDS = 5.0

_WORDS = {
    "page_view": "opens",
    "view_item_list": "sees",
    "select_item": "clicks",
    "view_item": "looks at",
    "add_to_cart": "puts into the cart",
    "remove_from_cart": "takes out of the cart",
    "add_to_wishlist": "remembers",
    "purchase": "buys",
    "dismiss_item": "does not want",
    "search": "searches for",
    "view_cart": "opens the cart",
    "begin_checkout": "goes to the checkout",
}
_SILENT_EVENTS = ("view_item_list", "item_impression")  # the shop's bookkeeping, no step of the shopper


@dataclass(frozen=True)
class Step:
    """One thing that the shopper did."""

    at: float
    words: str
    what: str


@dataclass(frozen=True)
class Shown:
    """One item of the page now, and where it stood on the page before (None: it was not there)."""

    item_id: str
    title: str
    department: str
    price: float | None
    before: int | None
    source: str
    shares: dict[str, float]


@dataclass
class Totals:
    """Counts over all shoppers."""

    events: int = 0
    pages: int = 0
    degraded: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def rate(self, now: float) -> float:
        """Events per second over the last seconds."""
        return sum(1 for at in self.recent if now - at < _RATE_SECONDS) / _RATE_SECONDS

    def percentiles(self) -> tuple[float, float] | None:
        """Median and 95th percentile of event to page, milliseconds."""
        if len(self.latencies) < 2:
            return None
        cuts = quantiles(self.latencies, n=20)
        return cuts[9], cuts[18]


class Story:
    """Follows one shopper of many.

    Args:
        monotonic: a clock; the messages' own times belong to other processes.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._items: dict[str, CatalogItem] = {}
        self._last_seen = float("-inf")
        self.visitor: str | None = None
        self.steps: deque[Step] = deque(maxlen=_STEPS)
        self.page: PageRecommendation | None = None
        self.shown: tuple[Shown, ...] = ()
        self.totals = Totals()

    @property
    def items(self) -> int:
        """Products known."""
        return len(self._items)

    def saw_item(self, item: CatalogItem) -> None:
        """A catalogue record came."""
        self._items[item.item_id] = item

    def saw_event(self, event: Event) -> None:
        """An event came."""
        now = self._monotonic()
        self.totals.events += 1
        self.totals.recent.append(now)
        if self.visitor is None or now - self._last_seen > _SILENT_SECONDS:
            self._follow(event.visitor_id)
        if event.visitor_id != self.visitor:
            return
        self._last_seen = now
        if event.event_name not in _SILENT_EVENTS:
            words = _WORDS.get(event.event_name, event.event_name.replace("_", " "))
            self.steps.append(Step(now, words, self._object(event)))

    def saw_page(self, page: PageRecommendation) -> None:
        """A page came."""
        self.totals.pages += 1
        self.totals.degraded += page.degraded
        self.totals.latencies.append(page.latency_ms.event_to_emit)
        if page.visitor_id != self.visitor:
            return
        before = {shown.item_id: place for place, shown in enumerate(self.shown)}
        grid = next((placement for placement in page.placements if placement.kind == "grid"), None)
        self.page = page
        if grid is not None:
            self.shown = tuple(
                self._shown(item.item_id, item.source, dict(item.shares), before.get(item.item_id)) for item in grid.items
            )

    def _follow(self, visitor: str) -> None:
        self.visitor = visitor
        self.steps.clear()
        self.page = None
        self.shown = ()

    def _object(self, event: Event) -> str:
        if event.search_term:
            return f"“{event.search_term}”"
        if event.items:
            return ", ".join(self._title(item.item_id) for item in event.items[:2])
        if event.page is not None:
            return event.page.page_categories[0] if event.page.page_categories else event.page.page_type
        return ""

    def _title(self, item_id: str) -> str:
        item = self._items.get(item_id)
        return item.title if item is not None else item_id

    def _shown(self, item_id: str, source: str, shares: dict[str, float], before: int | None) -> Shown:
        item = self._items.get(item_id)
        department = item.categories[0].split(" > ")[0] if item is not None and item.categories else ""
        price = item.price if item is not None else None
        return Shown(item_id, self._title(item_id), department, price, before, source, shares)

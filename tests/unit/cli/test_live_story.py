from rich.console import Console

from cli.live_story import Story
from cli.live_view import draw
from contracts.catalog import CatalogItem
from contracts.events import Event, EventItem, Page
from contracts.recommendations import Latency, Model, PageRecommendation, Placement, RecommendedItem, Source


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def event(visitor: str, name: str = "view_item", item: str | None = "i1") -> Event:
    items = (EventItem(item_id=item),) if item else ()
    return Event(event_id="e", event_name=name, event_time=1, visitor_id=visitor, items=items, page=Page())  # type: ignore[arg-type]


def page(visitor: str, *items: str, milliseconds: float = 5.0, degraded: bool = False) -> PageRecommendation:
    shown = tuple(
        RecommendedItem(item_id=item, index=index, score=0.1, reason=(), source="ann_fused", shares={"text": 1.0})
        for index, item in enumerate(items)
    )
    return PageRecommendation(
        recommendation_id="r", attribution_token="t", tenant_id="default", visitor_id=visitor, user_id=None, session_id="s",
        page_view_id=None, page_type="home", trigger_event_id="e", trigger_event_time=1, generated_time=2, expire_time=3,
        sequence=4, source=Source(0, 0), index_version=9, placements=(Placement("p", "for you", "grid", shown),),
        model=Model("demo", "1"), experiment_ids=(), missing_ids=(), degraded=degraded, fallback_reason=None,
        latency_ms=Latency(0.5, 0.1, 2.0, 0.3, 0.4, 0.5, 0.2, milliseconds),
    )  # fmt: skip


def told() -> tuple[Story, Clock]:
    clock = Clock()
    story = Story(clock)
    for number in range(1, 5):
        story.saw_item(CatalogItem(item_id=f"i{number}", title=f"Lamp {number}", categories=("Home > Lamps",), price=9.5))
    return story, clock


def test_one_shopper_is_followed_and_the_others_are_only_counted() -> None:
    story, _ = told()
    story.saw_event(event("ann"))
    story.saw_event(event("bob"))
    story.saw_page(page("bob", "i1"))
    assert story.visitor == "ann"
    assert [(step.words, step.what) for step in story.steps] == [("looks at", "Lamp 1")]
    assert story.page is None
    assert (story.totals.events, story.totals.pages) == (2, 1)


def test_a_page_tells_what_is_new_and_what_moved() -> None:
    story, _ = told()
    story.saw_event(event("ann"))
    story.saw_page(page("ann", "i1", "i2", "i3"))
    story.saw_page(page("ann", "i3", "i4", "i1"))
    assert [(shown.item_id, shown.before) for shown in story.shown] == [("i3", 2), ("i4", None), ("i1", 0)]


def test_a_shopper_who_is_silent_for_long_is_left_for_another() -> None:
    story, clock = told()
    story.saw_event(event("ann"))
    story.saw_page(page("ann", "i1"))
    clock.now += 13.0
    story.saw_event(event("bob"))
    assert story.visitor == "bob"
    assert story.page is None
    assert len(story.steps) == 1


def test_the_percentiles_are_those_of_all_pages() -> None:
    story, _ = told()
    for milliseconds in range(1, 101):
        story.saw_page(page("x", "i1", milliseconds=float(milliseconds)))
    percentiles = story.totals.percentiles()
    assert percentiles is not None
    assert abs(percentiles[0] - 50.5) < 1
    assert abs(percentiles[1] - 95.5) < 1


def test_the_screen_shows_steps_stages_page_and_addresses() -> None:
    story, clock = told()
    story.saw_event(event("ann"))
    story.saw_event(event("ann", "purchase"))
    story.saw_page(page("ann", "i2", "i3"))
    story.saw_page(page("ann", "i3", "i2", degraded=True))
    console = Console(width=150, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(story, {"gateway": "http://h:1", "broker": "h:2", "worker-0": "h:3"}, clock.now))
    text = captured.get()
    for expected in ("looks at", "buys", "Lamp 2", "Lamp 3", "▲1", "▼1", "9.50", "ranking", "http://h:1", "1 fallback pages"):
        assert expected in text


def test_an_unknown_product_is_shown_by_its_id() -> None:
    story, _ = told()
    story.saw_event(event("ann", item="nowhere"))
    assert story.steps[-1].what == "nowhere"

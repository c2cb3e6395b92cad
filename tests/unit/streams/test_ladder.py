"""The ladder of degradation: which rung answers when, and that each is flagged, counted and bounded."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RankerUnavailable
from contracts.keys import item_key
from contracts.tensors import Context, Effort
from streams.ladder import LastPages, Pace
from streams.neighbours import CoVisits
from tests.fakes import FakeRanker, event_bytes, keys_of
from tests.unit.streams.test_refresh import NOW, SETTINGS, Shop, shown


def seen(visitor: str, *items: str) -> list[tuple[bytes, bytes]]:
    return [event_bytes(visitor, n, NOW, items=[{"item_id": item}]) for n, item in enumerate(items)]


def counted(shop: Shop, reason: str) -> float:
    return float(shop.refresher.metrics.fallbacks.labels(reason)._value.get())


def test_without_the_ranker_the_page_begins_with_what_others_touched_next_and_goes_on_with_popular_items() -> None:
    shop = Shop()
    for visitor in ("a", "b"):
        for each in seen(visitor, "i3", "i7", "i11"):
            shop.pages(each)
    shop.ranker.error = RankerUnavailable("gone")
    (page,) = shop.pages(*seen("c", "i3"))
    assert (page.degraded, page.fallback_reason, page.model.name) == (True, "triton_down", "co-visit")
    items = page.placements[0].items
    assert (items[0].item_id, items[0].source) == ("i7", "co_visit")
    assert {item.source for item in items[1:]} == {"popular"}
    assert len({item.item_id for item in items}) == SETTINGS.page.grid_size
    assert counted(shop, "triton_down") == 1


def test_nothing_that_the_visitor_hides_comes_back_by_a_lower_rung() -> None:
    shop = Shop()
    for each in seen("a", "i3", "i7"):
        shop.pages(each)
    shop.ranker.error = RankerUnavailable("gone")
    (page,) = shop.pages(*seen("c", "i3"), event_bytes("c", 9, NOW, "dismiss_item", items=[{"item_id": "i7"}]))
    assert "i7" not in shown(page)
    assert page.model.name == "popular-in-category"


def test_touches_during_an_outage_are_learnt_once_when_the_ranker_is_back() -> None:
    shop = Shop()
    shop.ranker.error = RankerUnavailable("gone")
    for each in seen("a", "i3", "i7", "i3", "i7"):
        shop.pages(each)
    assert len(shop.refresher.ladder.neighbours) == 0
    shop.ranker.error = None
    shop.pages(event_bytes("a", 9, NOW, items=[{"item_id": "i1"}]))
    assert shop.refresher.view.touches[item_key("default", "i3")] == 2


def test_when_the_catalogue_has_nothing_the_last_page_is_kept_and_only_of_who_consents() -> None:
    shop = Shop()
    (before,) = shop.pages(*seen("a", "i3"))
    shop.refresher.view.cards.clear()
    shop.refresher.view._popular.clear()
    (page,) = shop.pages(event_bytes("a", 5, NOW))
    assert shown(page) == shown(before)
    assert (page.degraded, page.fallback_reason, page.model.name) == (True, "cold_catalog", "last-page")
    assert counted(shop, "cold_catalog") == 1
    refused = {"personalization": False, "ads": False}
    (contextual,) = shop.pages(event_bytes("a", 6, NOW, consent=refused))
    assert shown(contextual) == []
    (after,) = shop.pages(event_bytes("a", 7, NOW))
    assert shown(after) == []


class Slow(FakeRanker):
    """Notes the effort that it is asked for; the shop's clock moves while it ranks."""

    milliseconds = 0
    asked: int = -1
    shop: Shop

    async def rank(self, tensors):  # type: ignore[no-untyped-def]
        self.asked = int(tensors["context"][0, Context.EFFORT])
        self.shop.refresher.clock.advance(self.milliseconds)  # type: ignore[attr-defined]
        return await super().rank(tensors)


def test_a_ranker_that_stays_slow_is_asked_for_less_and_flagged_until_it_is_quick_again() -> None:
    ranker = Slow(keys_of(20))
    shop = Shop(ranker)
    ranker.shop, shop.refresher.slow_seconds = shop, 0.045
    shop.refresher.__post_init__()

    numbers = itertools.count()

    def pages(milliseconds: int, count: int) -> list[tuple[int, str | None]]:
        ranker.milliseconds = milliseconds
        events = (event_bytes("a", next(numbers), NOW) for _ in range(count))
        return [(ranker.asked, page.fallback_reason) for event in events for page in shop.pages(event)]

    steady = pages(5, 20)
    pages(150, 1)
    once = pages(5, 5)
    assert {reason for _, reason in steady + once} == {None}
    assert pages(60, 40)[-1] == (Effort.REDUCED, "triton_slow")
    assert pages(5, 40)[-1] == (Effort.FULL, None)
    assert counted(shop, "triton_slow") > 0


@given(st.lists(st.floats(0, 1), max_size=60))
def test_the_pace_is_reduced_only_above_its_limit_and_full_only_below(calls: list[float]) -> None:
    pace = Pace(0.045)
    for seconds in calls:
        before = pace.effort
        pace.observe(seconds)
        if pace.effort is not before:
            assert (pace._usual > 0.045) == (pace.effort is Effort.REDUCED)


@given(st.lists(st.lists(st.integers(1, 30), max_size=12), max_size=20))
def test_co_visits_stay_bounded_and_never_name_the_item_itself(sessions: list[list[int]]) -> None:
    table = CoVisits(most_items=5, most_followers=3)
    for session in sessions:
        table.learn(session)
        assert len(table) <= 5
        assert all(len(table.of([item])) <= 3 for item in range(31))
        assert all(item not in table.of([item]) for item in range(31))


def test_what_followed_lately_counts_more_than_what_followed_long_ago() -> None:
    table = CoVisits()
    for _ in range(10):
        table.learn([1, 2])
    for _ in range(10):
        table.learn([1, 3])
    assert table.of([1]) == [3, 2]


@pytest.mark.parametrize("forgotten", [b"a", b"c"])
def test_last_pages_are_bounded_and_forgotten(forgotten: bytes) -> None:
    pages = LastPages(most=2)
    for key in (b"a", b"b", b"c"):
        pages.keep(key, ())
    pages.forget(forgotten)
    assert pages.of(forgotten) == ()
    assert len(pages._pages) == (1 if forgotten == b"c" else 2)


def test_who_does_not_consent_teaches_nothing() -> None:
    shop = Shop()
    items = [{"item_id": "i3"}, {"item_id": "i7"}]
    shop.pages(event_bytes("a", 1, NOW, items=items, consent={"personalization": False, "ads": False}))
    assert len(shop.refresher.ladder.neighbours) == 0
    assert not shop.refresher.view.touches
    shop.pages(event_bytes("b", 1, NOW, items=items))
    assert len(shop.refresher.ladder.neighbours) == 1

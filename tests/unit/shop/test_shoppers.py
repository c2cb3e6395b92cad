"""Shoppers: seeded, within the contract, with tastes that show, and moved by the pages that they get."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from contracts.events import Event, decode_event, encode_event
from contracts.recommendations import Latency, Model, PageRecommendation, Placement, RecommendedItem, Source
from shop.catalog import products
from shop.shoppers import Shopper
from shop.taste import Shelf, shelf_of


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return shelf_of(products())


def page_of(shelf: Shelf, rows: list[int]) -> PageRecommendation:
    """A page with these products in one grid."""
    items = tuple(
        RecommendedItem(item_id=shelf.item_ids[row], index=index, score=0.5, reason=("x",), source="popular")
        for index, row in enumerate(rows)
    )
    return PageRecommendation(
        recommendation_id="r", attribution_token="token-1", tenant_id="default", visitor_id="v", user_id=None, session_id="s",
        page_view_id=None, page_type="home", trigger_event_id="e", trigger_event_time=0, generated_time=0, expire_time=0,
        sequence=1, source=Source(0, 0), index_version=0, placements=(Placement("grid", "For you", "grid", items),),
        model=Model("m", "1"), experiment_ids=(), missing_ids=(), degraded=False, fallback_reason=None,
        latency_ms=Latency(0, 0, 0, 0, 0, 0, 0, 0),
    )  # fmt: skip


def walk(shopper: Shopper, steps: int, page: PageRecommendation | None = None) -> list[Event]:
    """The events of some steps; visits that end are begun anew."""
    events = [shopper.next_event(page, 1_790_000_000_000 + 1000 * step) for step in range(steps)]
    return [event for event in events if event is not None]


def test_the_same_seed_gives_the_same_events_and_another_seed_others(shelf: Shelf) -> None:
    assert walk(Shopper("v", shelf, 5), 60) == walk(Shopper("v", shelf, 5), 60)
    assert walk(Shopper("v", shelf, 6), 60) != walk(Shopper("v", shelf, 5), 60)


def test_every_event_passes_the_contract_with_a_unique_id(shelf: Shelf) -> None:
    events = [event for seed in range(12) for event in walk(Shopper(f"v{seed}", shelf, seed), 60)]
    assert all(decode_event(encode_event(event)) == event for event in events)
    assert len({event.event_id for event in events}) == len(events)
    assert {"page_view", "view_item", "add_to_cart", "purchase"} <= {event.event_name for event in events}


def test_a_purchase_holds_what_was_in_the_cart_with_its_value(shelf: Shelf) -> None:
    found = 0
    for seed in range(40):
        cart: list[str] = []
        for event in walk(Shopper("v", shelf, seed), 80):
            names = [item.item_id for item in event.items]
            if event.event_name == "page_view":
                cart = []
            if event.event_name == "add_to_cart":
                cart += names
            if event.event_name == "remove_from_cart":
                cart.remove(names[0])
            if event.event_name == "purchase":
                assert names == cart
                assert event.value == pytest.approx(sum(item.price or 0 for item in event.items))
                cart, found = [], found + 1
    assert found > 5


def test_shoppers_view_types_that_their_persona_likes_far_more_often_than_chance(shelf: Shelf) -> None:
    liked = total = 0
    for seed in range(40):
        shopper = Shopper("v", shelf, seed)
        wanted = {name.replace("_", "-") for name in shopper.taste.persona.kinds}
        for event in walk(shopper, 40):
            if event.event_name == "view_item":
                total += 1
                liked += event.items[0].item_id.rsplit("-", 1)[0] in wanted
    assert liked / total > 0.5  # six of 57 types would be 0.11 by chance


def test_views_that_follow_each_other_are_alike_and_the_intent_shifts_sometimes(shelf: Shelf) -> None:
    same = pairs = 0
    for seed in range(30):
        rows = [
            shelf.rows[event.items[0].item_id]
            for event in walk(Shopper("v", shelf, seed), 40)
            if event.event_name == "view_item"
        ]
        same += sum(shelf.kind[a] == shelf.kind[b] for a, b in pairwise(rows))
        pairs += max(len(rows) - 1, 0)
    assert 0.5 < same / pairs < 0.95


def test_a_good_page_is_clicked_from_the_top_and_a_dull_one_rarely(shelf: Shelf) -> None:
    clicks: dict[str, list[int]] = {"good": [], "dull": []}
    for seed in range(60):
        for quality, places in clicks.items():
            shopper = Shopper("v", shelf, seed)
            assert shopper.decide(None) is not None
            order = np.argsort(-shopper._attraction())
            shown = [int(row) for row in (order[:12] if quality == "good" else order[-12:])]
            decision = shopper.decide(shown)
            if decision is not None and decision.action == "click":
                assert decision.position is not None
                places.append(decision.position)
    assert len(clicks["good"]) > 3 * len(clicks["dull"])
    assert np.mean(clicks["good"]) < 3


def test_a_click_carries_place_and_token_of_the_page(shelf: Shelf) -> None:
    for seed in range(30):
        shopper = Shopper("v", shelf, seed)
        shopper.decide(None)
        rows = [int(row) for row in np.argsort(-shopper._attraction())[:12]]
        event = shopper.next_event(page_of(shelf, rows), 5)
        if event is not None and event.event_name == "select_item":
            assert event.attribution_token == "token-1"
            assert event.items[0].index == rows.index(shelf.rows[event.items[0].item_id])
            return
    pytest.fail("nobody clicked")


def test_nobody_touches_what_is_sold_out_or_not_arrived_yet(shelf: Shelf) -> None:
    for seed in range(30):
        shopper = Shopper("v", shelf, seed, may_see_new=False)
        for event in walk(shopper, 40):
            for item in event.items:
                assert shelf.is_open[shelf.rows[item.item_id]]
                assert not shelf.is_new[shelf.rows[item.item_id]]


def test_an_item_that_the_shop_does_not_know_is_passed_over(shelf: Shelf) -> None:
    page = page_of(shelf, [])
    strange = Placement("grid", "x", "grid", (RecommendedItem(item_id="other", index=0, score=1, reason=(), source="popular"),))
    page = type(page)(**{name: getattr(page, name) for name in page.__struct_fields__} | {"placements": (strange,)})
    assert walk(Shopper("v", shelf, 1), 20, page) == walk(Shopper("v", shelf, 1), 20, None)

"""What events tell of pages and ads is counted once, and only for tokens that we signed."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, Sponsored, encode
from contracts.events import Event, EventItem, EventName
from contracts.keys import message_key
from contracts.settings import SessionSettings
from monitoring.metrics import FeedbackMetrics
from streams.batch import Incoming, fold
from streams.feedback import Feedback, tells
from streams.items import ItemView
from streams.page import attribution_token
from tests.fakes import event_bytes

SECRET = b"0123456789abcdef"
TOKEN = attribution_token("0192f0c4-7b02-8000-8000-000000000000", 3, (), SECRET)


class Counted:
    """Feedback over a catalogue of sponsored items, one campaign each."""

    def __init__(self, campaigns: int = 2, named: int = 50) -> None:
        view = ItemView()
        for number in range(campaigns):
            item = CatalogItem(f"i{number}", "lamp", sponsored=Sponsored(f"c{number}", bid=0.25, budget=100.0))
            record = ItemEmbedding(f"i{number}", "default", 1, 1, (1.0,), item=item)
            view.apply(message_key("default", item.item_id), encode(record))
        self.registry = CollectorRegistry()
        self.feedback = Feedback(view, FeedbackMetrics.create(self.registry), SECRET, campaigns_max=named)

    def see(self, name: EventName, *items: EventItem, token: str | None = None) -> None:
        event = Event("e", name, 1, "v", items=items, attribution_token=token)
        self.feedback.observe([event] if tells(event) else [])

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("place", ["event", "item"])
def test_a_click_with_our_token_is_earned_by_the_page(place: str) -> None:
    counted = Counted()
    item = EventItem("i1", index=4, attribution_token=TOKEN if place == "item" else None)
    counted.see("select_item", item, token=TOKEN if place == "event" else None)
    assert counted.value("vitrine_attributed_actions_total", action="click") == 1
    assert counted.value("vitrine_clicked_position_bucket", le="3.0") == 0
    assert counted.value("vitrine_clicked_position_bucket", le="5.0") == 1


def test_a_token_that_we_did_not_sign_earns_nothing() -> None:
    counted = Counted()
    counted.see("purchase", EventItem("i1"), token="at_" + "A" * 40)
    assert counted.value("vitrine_attributed_actions_total", action="purchase") == 0
    assert counted.value("vitrine_foreign_attribution_tokens_total") == 1


def test_a_clicked_ad_costs_its_bid_and_a_shown_one_nothing() -> None:
    counted = Counted()
    for name in ("ad_impression", "ad_impression", "ad_click"):
        counted.see(name, EventItem("i1"))
    assert counted.value("vitrine_ads_total", campaign="c1", event="impression") == 2
    assert counted.value("vitrine_ad_spend_total", campaign="c1") == 0.25
    assert counted.value("vitrine_ad_budget", campaign="c1") == 100.0


def test_labels_stay_bounded_however_many_campaigns_there_are() -> None:
    counted = Counted(campaigns=5, named=2)
    for number in range(5):
        counted.see("ad_click", EventItem(f"i{number}"))
    assert counted.value("vitrine_ad_spend_total", campaign="other") == 0.75


def test_an_event_that_comes_twice_tells_once() -> None:
    key, value = event_bytes("v", 1, 1_800_000_000_000, "select_item", items=[{"item_id": "i1", "attribution_token": TOKEN}])
    records = [Incoming(0, offset, key, value, 1_800_000_000_000) for offset in (0, 1)]
    batch = fold(records, lambda _: None, SessionSettings(), events_topic="events", dead_letter_topic="dead")
    assert [msgspec.structs.asdict(event)["event_name"] for event in batch.told] == ["select_item"]

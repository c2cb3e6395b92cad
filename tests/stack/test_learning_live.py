"""The stream teaches: what visitors touch together comes up for the next one, until they are erased; shops stay apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaProducer

from contracts.catalog import decode_embedding, encode
from contracts.events import Event, EventItem, Page
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.recommendations import PageRecommendation, RecommendedItem, decode_page
from contracts.settings import Settings
from contracts.topics import ITEM_EMBEDDINGS, PAGES, SESSIONS
from nemesis.topic import read_topic
from nemesis.workload import publish_items
from producers.publisher import EventPublisher
from stack.addresses import free_address
from tests.conftest import ProcessFactory, SettingsFactory

pytestmark = pytest.mark.stack
X, Y = "i7", "i201"
CROWD = ("anna", "berta", "carla", "dora")


def until(condition: Callable[[], bool], what: str, patience_seconds: float = 90.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {patience_seconds} s")
        time.sleep(0.3)


def event(visitor: str, item: str, tenant: str = "default") -> Event:
    return Event(
        event_id=str(uuid4()),
        event_name="view_item",
        event_time=int(time.time() * 1000),
        visitor_id=visitor,
        tenant_id=tenant,
        items=(EventItem(item_id=item),),
        page=Page(page_type="home"),
    )


def also_of(settings: Settings, tenant: str) -> None:
    """The same catalogue for another shop."""
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
    for record in read_topic(settings.kafka, ITEM_EMBEDDINGS):
        item = decode_embedding(record.value or b"")
        assert item.item is not None
        theirs = msgspec.structs.replace(item, tenant_id=tenant, item=msgspec.structs.replace(item.item, tenant_id=tenant))
        key = message_key(tenant, item.item_id)
        producer.send(settings.kafka.topic_prefix + ITEM_EMBEDDINGS, encode(theirs), key=key)
    producer.flush()
    producer.close()


class Shop:
    """A visitor who clicks X again and again, and what the page then holds."""

    def __init__(self, settings: Settings, events: EventPublisher) -> None:
        self.settings = settings
        self.events = events

    def page_after_x(self, visitor: str, tenant: str = "default") -> PageRecommendation:
        clicked = event(visitor, X, tenant)
        self.events.publish(clicked).wait()
        found: list[PageRecommendation] = []

        def is_there() -> bool:
            pages = [decode_page(record.value) for record in read_topic(self.settings.kafka, PAGES) if record.value]
            found[:] = [page for page in pages if page.trigger_event_id == clicked.event_id]
            return bool(found)

        until(is_there, f"a page for {visitor}")
        return found[0]

    def told_by_neighbours(self, visitor: str, tenant: str = "default") -> dict[str, RecommendedItem]:
        items = self.page_after_x(visitor, tenant).placements[0].items
        return {item.item_id: item for item in items if item.source == "session_neighbours"}


def test_what_two_visitors_touch_together_is_shown_to_a_third_until_they_are_erased_and_never_to_another_shop(
    make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory
) -> None:
    settings = make_settings(
        triton={"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 20_000.0},
        session={"publish_seconds": 0.5},
    )
    publish_items(settings)
    also_of(settings, "other")
    start_triton(settings)
    worker_process(settings)
    with EventPublisher(settings.kafka) as events:
        shop = Shop(settings, events)
        assert Y not in shop.told_by_neighbours("eva")
        for visitor in CROWD:
            for item in (X, Y):
                events.publish(event(visitor, item)).wait()
        until(lambda: Y in shop.told_by_neighbours("eva"), "the third visitor is shown what goes with it")
        page = shop.page_after_x("eva")
        shown = next(item for item in page.placements[0].items if item.item_id == Y)
        assert page.learned_version > 0
        assert shown.voices["neighbours"] > 0.5
        assert shown.reason[0] == "Bought together"
        for _ in range(3):
            assert shop.told_by_neighbours("otto", "other") == {}
        sessions = read_topic(settings.kafka.model_copy(update={"partitions": 1}), SESSIONS)
        assert len(sessions) >= len(CROWD)
        assert not any(name.encode() in record.key + (record.value or b"") for record in sessions for name in CROWD)
        for visitor in CROWD:
            events.erase("default", visitor, msgspec.json.encode({"request_id": visitor, "request_time": 0})).wait()
        until(lambda: Y not in shop.told_by_neighbours("eva"), "what the erased taught is forgotten")

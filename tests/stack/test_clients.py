"""The clients and their commands on a real broker, a real worker and a real Triton."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from cli.main import build
from consumers.dead_letters import DeadLetter, DeadLetterBox
from consumers.embeddings import encoded_items
from consumers.pages import PageSubscriber, latest_page
from consumers.topic_reader import TopicReader, partition_of
from contracts.catalog import CatalogItem, decode_embedding, encode
from contracts.errors import BrokerUnavailable, ContractError
from contracts.events import Event, EventItem
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.recommendations import Latency, Model, PageRecommendation, Source, encode_page
from contracts.settings import ROOT, KafkaSettings, Settings
from contracts.topics import CATALOG, ERASURES, EVENTS, ITEM_EMBEDDINGS, PAGES
from producers.publisher import CatalogPublisher, EventPublisher
from stack.addresses import free_address
from stack.environment import overridden, variables
from tests.conftest import ProcessFactory

pytestmark = pytest.mark.stack
PATIENCE_SECONDS = 30.0
FASHION = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data")) / "fashion_products"


def vitrine(settings: Settings, *arguments: str, stdin: str | None = None) -> Result:
    """Run a command in this process with these settings."""
    return CliRunner().invoke(build(), list(arguments), env=variables(settings), input=stdin)


def records(settings: Settings, topic: str) -> list[Any]:
    """Everything in a topic."""
    with TopicReader(settings.kafka, topic) as reader:
        reader.rewind()
        return list(reader.until_now())


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.1)
    return value


def event(number: int, visitor: str = "v-1", **more: Any) -> Event:
    values: dict[str, Any] = {"event_name": "view_item", "event_time": 1_790_000_000_000 + number, "visitor_id": visitor}
    return Event(event_id=f"e-{number}", **(values | more))


def page(visitor: str, offset: int, sequence: int, lives_seconds: float = 300.0) -> bytes:
    """A page of no items."""
    made_at = time.time_ns() // 1_000_000
    made = PageRecommendation(
        recommendation_id=f"r-{offset}", attribution_token="a", tenant_id="default", visitor_id=visitor, user_id=None,
        session_id="s", page_view_id=None, page_type="home", trigger_event_id="e", trigger_event_time=0,
        generated_time=made_at, expire_time=made_at + int(1000 * lives_seconds), sequence=sequence, source=Source(0, offset),
        index_version=0, placements=(), model=Model("m", "1"), experiment_ids=(), missing_ids=(), degraded=False,
        fallback_reason=None, latency_ms=Latency(0, 0, 0, 0, 0, 0, 0, 1.0),
    )  # fmt: skip
    return encode_page(made)


def test_an_acknowledged_event_is_in_the_partition_of_its_visitor(settings: Settings) -> None:
    with EventPublisher(settings.kafka) as publisher:
        places = [publisher.publish(event(number, f"v-{number % 5}")).wait() for number in range(20)]
    found = {(record.partition, record.offset): record for record in records(settings, EVENTS)}
    for number, place in enumerate(places):
        key = message_key("default", f"v-{number % 5}")
        assert found[place].key == key
        assert place[0] == partition_of(key, settings.kafka.partitions)


def test_leaving_the_publisher_tells_what_the_broker_refused(settings: Settings) -> None:
    too_big = "x" * 2_000_000
    with pytest.raises(BrokerUnavailable), EventPublisher(settings.kafka) as publisher:
        publisher.publish(event(1, properties={"blob": too_big}))
    assert records(settings, EVENTS) == []


def test_a_broker_that_is_away_is_an_error_of_ours_within_seconds() -> None:
    away = KafkaSettings(bootstrap_servers=free_address())
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="no broker answers at"), CatalogPublisher(away):
        pass
    assert time.monotonic() - started < 15


def test_publish_takes_options_files_and_standard_input_and_names_what_is_wrong(settings: Settings, tmp_path: Path) -> None:
    one = vitrine(settings, "publish", "--visitor", "v-9", "--item", "a", "--item", "b", "--set", "items[1].quantity=3")
    assert one.exit_code == 0, one.output
    (record,) = records(settings, EVENTS)
    assert [item.get("quantity", 1) for item in json.loads(record.value)["items"]] == [1, 3]

    wrong = vitrine(settings, "publish", "--visitor", "v-9", "--event", "buy")
    assert isinstance(wrong.exception, ContractError)
    assert "event_name" in str(wrong.exception)
    assert vitrine(settings, "publish").exit_code == 2

    good = '{"event_id":"e%d","event_name":"view_item","event_time":1,"visitor_id":"v"}\n'
    lines = good % 1 + (good % 2).replace('"v"', "7") + good % 3
    stopped = vitrine(settings, "publish", "-", stdin=lines)
    assert "1 events published" in stopped.output
    assert "line 2: $.visitor_id: Expected `str`, got `int`" in str(stopped.exception)
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(lines.encode()))
    went_on = vitrine(settings, "publish", str(file), "--keep-going")
    assert went_on.exit_code == 1
    assert "2 events published, 1 bad lines left out" in went_on.output
    assert len(records(settings, EVENTS)) == 4


def test_a_subscriber_sees_the_newest_page_of_each_visitor_and_no_repeats(settings: Settings) -> None:
    producer = KafkaProducer(**kafka_python_options(settings.kafka))
    topic = settings.kafka.topic_prefix + PAGES

    def put(visitor: str, value: bytes | None) -> None:
        producer.send(topic, value, key=message_key("default", visitor)).get(10)

    put("v-1", page("v-1", 3, 1))
    with PageSubscriber(settings.kafka, timeout_seconds=2.0) as pages:
        for offset, sequence in ((5, 2), (5, 2), (4, 1), (9, 3)):
            put("v-1", page("v-1", offset, sequence))
        put("v-2", b"{broken")
        put("v-2", page("v-2", 1, 1))
        put("v-3", page("v-3", 1, 1, lives_seconds=-1))
        seen = [(found.visitor_id, found.sequence) for found in pages]
        assert sorted(seen) == [("v-1", 2), ("v-1", 3), ("v-2", 1)]
        assert (pages.dropped, pages.expired) == (2, 1)
    put("v-2", b"{broken")
    producer.close()
    newest = latest_page(settings.kafka, "default", "v-1")
    assert newest is not None
    assert newest.source.offset == 9
    kept = latest_page(settings.kafka, "default", "v-2")
    assert kept is not None, "a record that breaks the contract hides no page"
    assert latest_page(settings.kafka, "default", "v-3") is None, "it has expired"
    assert latest_page(settings.kafka, "default", "nobody") is None
    with PageSubscriber(settings.kafka, visitor_id="v-3", from_beginning=True, with_expired=True, timeout_seconds=2.0) as pages:
        assert [found.sequence for found in pages] == [1]


def test_an_erased_visitor_has_no_latest_page_and_the_request_is_in_the_topic(settings: Settings) -> None:
    producer = KafkaProducer(**kafka_python_options(settings.kafka))
    for value in (page("v-1", 3, 1), None):
        producer.send(settings.kafka.topic_prefix + PAGES, value, key=message_key("default", "v-1")).get(10)
    producer.close()
    assert latest_page(settings.kafka, "default", "v-1") is None
    assert vitrine(settings, "erase", "v-1").exit_code == 0
    (request,) = records(settings, ERASURES)
    assert request.key == message_key("default", "v-1")
    assert set(json.loads(request.value)) == {"request_id", "request_time"}


@pytest.fixture
def shop(shared_settings: Settings, worker_process: ProcessFactory, tmp_path: Path) -> Settings:
    """Settings of a shop of its own in the session's stack, with both workers running."""
    workers: dict[str, dict[str, Any]] = {
        role: {"role": role, "metrics_address": free_address(), "data_dir": tmp_path / role} for role in ("events", "catalog")
    }
    for own in workers.values():
        worker_process(overridden(shared_settings, {"worker": own}))
    return shared_settings.model_copy(update={"tenant_id": f"clients-{tmp_path.name}"})


def test_a_shop_brings_its_products_and_clicks_watches_pages_and_repairs_a_dead_letter(shop: Settings, tmp_path: Path) -> None:
    catalog = tmp_path / "items.jsonl"
    items = [CatalogItem(f"lamp-{n}", f"round lamp {n}", categories=("Home > Lamps",), price=9.0 + n) for n in range(20)]
    catalog.write_bytes(b"".join(encode(item) + b"\n" for item in items))
    first = vitrine(shop, "catalog", "load", str(catalog), "--tenant", shop.tenant_id)
    assert first.exit_code == 0, first.output
    assert "20 items encoded" in first.output
    again = vitrine(shop, "catalog", "load", str(catalog), "--tenant", shop.tenant_id)
    assert "20 items are recommendable already" in again.output

    # A table of clicks: its items have no text and no picture.
    clicks = tmp_path / "clicks.tsv"
    clicks.write_text("SessionId\tItemId\tTime\n" + "".join(f"1\tbare-{n}\t{1_700_000_000 + n}\n" for n in range(3)))
    replayed = vitrine(shop, "replay", str(clicks), "--tenant", shop.tenant_id)
    assert replayed.exit_code == 0, replayed.output
    found = until(lambda: latest_page(shop.kafka, shop.tenant_id, "session-1"), "a page for the replayed session")
    until(lambda: (shop.tenant_id, "bare-2") in encoded_items(shop.kafka), "items without text and picture are encoded")
    assert {item.item_id for item in found.placements[0].items} <= {item.item_id for item in items} | {
        f"bare-{n}" for n in range(3)
    }

    with PageSubscriber(shop.kafka, tenant_id=shop.tenant_id, visitor_id="v-1", timeout_seconds=20) as pages:
        stream = pages.received()
        with EventPublisher(shop.kafka) as publisher:
            publisher.publish(event(1, tenant_id=shop.tenant_id, items=(EventItem("lamp-3"),))).wait()
        received = next(stream)
        assert (received.page.sequence, received.page.trigger_event_id) == (1, "e-1")
        assert 0 <= received.freshness_ms < PATIENCE_SECONDS * 1000
        shown = vitrine(shop, "watch", "--visitor", "v-1", "--json", "--from-beginning", "--count", "1")
        assert json.loads(shown.stdout.splitlines()[0])["visitor_id"] == "v-1"
        _repair(shop, stream)


def _repair(shop: Settings, stream: Any) -> None:
    """A bad price makes a dead letter; repaired and replayed it counts once, however often it is replayed."""
    broken = json.dumps(
        {
            "event_id": "e-2", "event_name": "add_to_cart", "event_time": 1_790_000_000_500, "tenant_id": shop.tenant_id,
            "visitor_id": "v-1", "items": [{"item_id": "lamp-5", "price": "cheap"}],
        }
    ).encode()  # fmt: skip
    with EventPublisher(shop.kafka) as publisher:
        publisher.send(EVENTS, message_key(shop.tenant_id, "v-1"), broken).wait()

    def letter() -> DeadLetter | None:
        with DeadLetterBox(shop.kafka) as box:
            return next((found for found in box.letters() if found.value == broken), None)

    dead = until(letter, "the dead letter")
    assert (dead.error["code"], dead.error["path"]) == ("invalid_field", "$.items[0].price")
    assert dead.place in vitrine(shop, "dlq", "list").output
    assert "cheap" in vitrine(shop, "dlq", "show", dead.place).output

    still_broken = vitrine(shop, "dlq", "replay", dead.place)
    assert still_broken.exit_code == 1
    assert "$.items[0].price" in still_broken.output
    for _ in range(2):
        repaired = vitrine(shop, "dlq", "replay", dead.place, "--set", "items[0].price=9.5")
        assert repaired.exit_code == 0, repaired.output
    received = next(stream)
    assert (received.page.sequence, received.page.trigger_event_id) == (2, "e-2")
    with EventPublisher(shop.kafka) as publisher:
        publisher.publish(event(3, tenant_id=shop.tenant_id, items=(EventItem("lamp-7"),))).wait()
    assert next(stream).page.sequence == 3  # the second replay counted nothing


def test_a_dead_letter_of_the_catalogue_goes_back_to_the_catalogue(settings: Settings) -> None:
    key = message_key("default", "lamp")
    headers = [("dlq.error.code", b"invalid_field"), ("dlq.error.topic", (settings.kafka.topic_prefix + CATALOG).encode())]
    producer = KafkaProducer(**kafka_python_options(settings.kafka))
    topic = settings.kafka.topic_prefix + "shop.events.dlq"
    placed = producer.send(topic, b'{"item_id":"lamp","title":7}', key=key, headers=headers).get(10)
    producer.close()
    done = vitrine(settings, "dlq", "replay", f"{placed.partition}:{placed.offset}", "--set", 'title="Lamp"')
    assert done.exit_code == 0, done.output
    (record,) = records(settings, CATALOG)
    assert (record.key, json.loads(record.value)) == (key, {"item_id": "lamp", "title": "Lamp"})
    assert records(settings, EVENTS) == []
    purged = vitrine(settings, "dlq", "purge", "--yes")
    assert "1 dead letters deleted" in purged.output
    assert "No dead letters" in vitrine(settings, "dlq", "list").output


@pytest.mark.data
@pytest.mark.skipif(not FASHION.exists(), reason=f"no products at {FASHION}")
def test_real_products_with_their_photos_get_text_and_picture_vectors(shop: Settings) -> None:
    tenant = f"{shop.tenant_id}-fashion"
    loaded = vitrine(shop, "catalog", "load", str(FASHION), "--tenant", tenant, "--limit", "24")
    assert loaded.exit_code == 0, loaded.output
    assert "24 items encoded" in loaded.output
    newest = {record.key: record.value for record in records(shop, ITEM_EMBEDDINGS)}
    encoded = [decode_embedding(value) for value in newest.values() if value is not None]
    assert [item.missing_modalities for item in encoded if item.tenant_id == tenant] == [("behaviour",)] * 24

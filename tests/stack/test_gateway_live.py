"""The gateway process on a real broker: accepted is in the topic, streams resume, outages lose nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.errors import BrokerUnavailable
from contracts.settings import Settings
from contracts.topics import CATALOG, DEAD_LETTERS, ERASURES, EVENTS, ITEM_EMBEDDINGS, PAGES
from gateway.ingest import Outgoing
from gateway.metrics import GatewayMetrics
from gateway.publisher import KafkaPublisher
from stack.addresses import free_address, free_port
from stack.broker import Broker
from stack.declaration import declare_topics
from stack.environment import overridden
from tests.conftest import ProcessFactory, SettingsFactory

pytestmark = pytest.mark.stack
PATIENCE_SECONDS = 20.0


def address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.gateway.port}"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.02)
    return value


def records(settings: Settings, topic: str) -> list[Any]:
    """Everything in a topic, partition by partition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, enable_auto_commit=False)
    name = settings.kafka.topic_prefix + topic
    places = [TopicPartition(name, number) for number in range(settings.kafka.partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    found: list[Any] = []
    while any(consumer.position(place) < ends[place] for place in places):
        for batch in consumer.poll(timeout_ms=200).values():
            found += batch
    consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


@pytest.fixture
def write() -> Iterator[Callable[..., Any]]:
    """Writes one record to a topic of the given settings."""
    producers: dict[str, KafkaProducer] = {}

    def send(
        settings: Settings, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> Any:
        servers = settings.kafka.bootstrap_servers
        if servers not in producers:
            producers[servers] = KafkaProducer(bootstrap_servers=servers)
        return producers[servers].send(settings.kafka.topic_prefix + topic, value, key, headers or []).get(10)

    yield send
    for producer in producers.values():
        producer.close()


def event(number: int, visitor: str = "v") -> dict[str, Any]:
    return {"event_id": f"e{number}", "event_name": "view_item", "event_time": 1_700_000_000_000, "visitor_id": visitor}


def page(visitor: str, offset: int) -> bytes:
    now = int(time.time() * 1000)
    return json.dumps(
        {
            "visitor_id": visitor,
            "sequence": offset,
            "source": {"partition": 0, "offset": offset},
            "generated_time": now,
            "expire_time": now + 60_000,
        }
    ).encode()


class Stream:
    """A browser's event stream: reads events until it has enough."""

    def __init__(self, settings: Settings, visitor: str, last_id: str | None = None) -> None:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._client = httpx.Client(timeout=PATIENCE_SECONDS)
        self._response = self._client.send(
            self._client.build_request("GET", f"{address(settings)}/v1/pages/{visitor}/stream", headers=headers), stream=True
        )
        self._lines = self._response.iter_lines()
        assert self._response.headers["content-type"].startswith("text/event-stream")

    def take(self, count: int) -> list[tuple[str, int]]:
        """(id, sequence) of the next pages."""
        found: list[tuple[str, int]] = []
        identity = ""
        for line in self._lines:
            if line.startswith("id: "):
                identity = line[4:]
            elif line.startswith("data: "):
                found.append((identity, json.loads(line[6:])["sequence"]))
                if len(found) == count:
                    break
        return found

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._client.close()


def test_accepted_events_are_in_the_topic_in_the_order_of_their_visitor(
    settings: Settings, gateway_process: ProcessFactory
) -> None:
    gateway_process(settings)
    with httpx.Client(base_url=address(settings)) as client:
        for start in range(0, 200, 50):
            batch = [event(number, f"v{number % 7}") for number in range(start, start + 50)]
            answer = client.post("/v1/events", json=batch)
            assert (answer.status_code, answer.json()["accepted"]) == (202, 50)
        # No waiting here: acknowledged means that it is there now.
        written = [json.loads(record.value) for record in records(settings, EVENTS)]
        assert len(written) == 200
        for visitor in range(7):
            ids = [int(entry["event_id"][1:]) for entry in written if entry["visitor_id"] == f"v{visitor}"]
            assert ids == list(range(visitor, 200, 7))
        receipt = client.delete("/v1/visitors/v3").json()
        (erasure,) = records(settings, ERASURES)
        assert erasure.key == b"default|v3"
        assert json.loads(erasure.value)["request_id"] == receipt["request_id"]


def test_a_stream_that_reconnects_after_a_restart_of_the_gateway_misses_no_page(
    settings: Settings, gateway_process: ProcessFactory, write: Callable[..., Any]
) -> None:
    gateway = gateway_process(settings)
    write(settings, PAGES, b"default|v", page("v", 1))
    stream = Stream(settings, "v")
    (first,) = stream.take(1)
    write(settings, PAGES, b"default|w", page("w", 2))
    write(settings, PAGES, b"default|v", page("v", 3))
    write(settings, PAGES, b"default|v", page("v", 2))  # older: must not come
    assert [first, *stream.take(1)] == [("0-1", 1), ("0-3", 3)]
    began = time.monotonic()
    gateway.stop(10)
    assert time.monotonic() - began < 5, "an open stream must not hold the gateway up"
    stream.close()
    write(settings, PAGES, b"default|v", page("v", 4))
    write(settings, PAGES, b"default|v", page("v", 5))
    gateway.start()
    until(lambda: is_ready(settings), "the gateway is back")
    again = Stream(settings, "v", last_id="0-3")
    assert again.take(2) == [("0-4", 4), ("0-5", 5)]
    again.close()
    newest = httpx.get(f"{address(settings)}/v1/pages/v")
    assert newest.json()["sequence"] == 5


def is_ready(settings: Settings) -> bool:
    try:
        return bool(httpx.get(f"{address(settings)}/healthz", timeout=2).json()["ready"])
    except (httpx.HTTPError, KeyError):
        return False


def test_an_item_becomes_eligible_when_its_embedding_is_there(
    settings: Settings, gateway_process: ProcessFactory, write: Callable[..., Any]
) -> None:
    gateway_process(settings)
    with httpx.Client(base_url=address(settings)) as client:
        item = {"item_id": "new", "title": "Blue kite", "categories": ["Toys > Outdoor"]}
        assert client.post("/v1/catalog", json=item).status_code == 202
        until(lambda: client.get("/v1/items/new/status").status_code == 200, "the item is known")
        assert client.get("/v1/items/new/status").json()["eligible"] is False
        (record,) = records(settings, CATALOG)
        embedding = ItemEmbedding(
            "new",
            "default",
            1,
            2,
            (1.0, 0.0),
            created_time=int(time.time() * 1000),
            source_partition=record.partition,
            source_offset=record.offset,
            item=CatalogItem("new", "Blue kite"),
        )
        write(settings, ITEM_EMBEDDINGS, b"default|new", encode(embedding))
        until(lambda: client.get("/v1/items/new/status").json()["eligible"], "the item is eligible")
        assert client.get("/v1/items?query=kit").json()["total"] == 1
        assert client.delete("/v1/items/new").status_code == 202
        until(lambda: client.get("/v1/items/new").status_code == 404, "the item is gone")


def test_a_dead_letter_is_shown_with_its_reason_and_sent_again(
    settings: Settings, gateway_process: ProcessFactory, write: Callable[..., Any]
) -> None:
    gateway_process(settings)
    topic = settings.kafka.topic_prefix + EVENTS
    headers = [
        ("dlq.error.code", b"invalid_field"),
        ("dlq.error.path", b"$.event_name"),
        ("dlq.error.message", b"no such event"),
        ("dlq.error.topic", topic.encode()),
        ("traceparent", b"t"),
    ]
    place = write(settings, DEAD_LETTERS, b"default|v", b'{"event_name": "vu"}', headers)
    with httpx.Client(base_url=address(settings), timeout=10) as client:
        (letter,) = until(lambda: client.get("/v1/ops/dead-letters").json()["dead_letters"], "the letter is shown")
        assert (letter["code"], letter["path"], letter["preview"]) == ("invalid_field", "$.event_name", '{"event_name": "vu"}')
        answer = client.post(f"/v1/ops/dead-letters/{place.partition}/{place.offset}/replay")
        assert answer.status_code == 202
        (again,) = records(settings, EVENTS)
        assert (again.key, again.value, again.headers) == (b"default|v", b'{"event_name": "vu"}', [("traceparent", b"t")])
        assert client.post(f"/v1/ops/dead-letters/{place.partition}/999/replay").status_code == 404
        assert client.post("/v1/ops/dead-letters/99/0/replay").status_code == 404


async def published(publisher: KafkaPublisher, value: bytes) -> int:
    """Publish until it is taken; how often it was refused before."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for refused in itertools.count():
            try:
                await publisher.publish(EVENTS, [Outgoing(b"default|v", value)])
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                return refused
    raise AssertionError


def test_a_producer_that_the_broker_refuses_for_good_is_replaced(settings: Settings) -> None:
    async def scenario() -> int:
        publisher = KafkaPublisher(settings.kafka, 5.0, 100, GatewayMetrics.create(CollectorRegistry()))
        await publisher.start()
        await published(publisher, b"1")
        # A batch that got a number and was then given up leaves a gap, which the broker never forgives.
        (place,) = publisher._producer._txn_manager._sequence_numbers
        publisher._producer._txn_manager.increment_sequence_number(place, 7)
        refused = await published(publisher, b"2")
        assert publisher.pending == 0
        await publisher.stop()
        return refused

    assert asyncio.run(scenario()) >= 1
    assert [record.value for record in records(settings, EVENTS)] == [b"1", b"2"]


def test_while_the_broker_is_away_nothing_is_accepted_and_nothing_accepted_is_lost(
    make_settings: SettingsFactory, gateway_process: ProcessFactory, var: Any
) -> None:
    settings = overridden(
        make_settings(),
        {
            "kafka": {"bootstrap_servers": free_address()},
            "stack": {"var": var / "fragile", "controller_port": free_port()},
            "gateway": {"publish_timeout_seconds": 1.0},
        },
    )
    server = Broker(settings)
    server.prepare()
    child = server.child()
    child.start()
    server.wait_until_answering(child)
    declare_topics(settings.kafka)
    try:
        gateway_process(settings)
        accepted: list[str] = []
        with httpx.Client(base_url=address(settings), timeout=10) as client:
            accepted += client.post("/v1/events", json=[event(0), event(1)]).json()["ids"]
            child.kill()
            refused = client.post("/v1/events", json=event(2))
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            until(lambda: client.get("/healthz").status_code == 503, "health tells the outage")
            child.start()
            server.wait_until_answering(child)
            retried = until(lambda: sent(client, event(2)), "the same event is accepted once the broker is back")
            accepted += retried
            accepted += client.post("/v1/events", json=event(3)).json()["ids"]
        written = [json.loads(record.value)["event_id"] for record in records(settings, EVENTS)]
        assert set(accepted) == {"e0", "e1", "e2", "e3"}
        assert set(accepted) <= set(written)
    finally:
        child.stop(10)


def sent(client: httpx.Client, body: dict[str, Any]) -> list[str] | None:
    """Ids if accepted."""
    answer = client.post("/v1/events", json=body)
    return list(answer.json()["ids"]) if answer.status_code == 202 else None

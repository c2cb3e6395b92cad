"""Delivery on a real broker, a real Triton and real worker processes that are killed, compared with an offline oracle."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.recommendations import TIME_FIELDS
from contracts.settings import Settings, resolve
from contracts.topics import DEAD_LETTERS, EVENTS, ITEM_EMBEDDINGS, PAGES
from monitoring.metrics import WorkerMetrics
from stack.addresses import free_address
from stack.environment import overridden
from stack.process import Child
from streams.batch import Incoming, fold
from streams.inference import InferenceClient
from streams.items import ItemView
from streams.liveness import SystemClock
from streams.refresh import Refresher
from streams.sessions import SessionState, encode_state
from streams.triton import TritonRanker
from tests.conftest import ProcessFactory, SettingsFactory

pytestmark = pytest.mark.stack
ITEMS, VISITORS = 300, 40
KILLS, CYCLES = 20, 5


@dataclass
class Topic:
    """Everything a topic holds, read once to its end."""

    records: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, settings: Settings, name: str) -> Topic:
        consumer = KafkaConsumer(**kafka_python_options(settings.kafka), auto_offset_reset="earliest", enable_auto_commit=False)
        try:
            partitions = [TopicPartition(name, number) for number in range(settings.kafka.partitions)]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for records in consumer.poll(timeout_ms=500).values():
                    found += records
            return cls(found)
        finally:
            consumer.close()


class Traffic:
    """Seeded shoppers that publish in a thread at a steady rate; one event in forty is poison."""

    def __init__(self, settings: Settings, rate: float, seed: int) -> None:
        self._topic = settings.kafka.topic_prefix + EVENTS
        self._producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
        self._rng = random.Random(seed)
        self._interval = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush()
        self._producer.close()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.publish()

    def publish(self) -> None:
        visitor = f"v{self._rng.randrange(VISITORS)}"
        event = {
            "event_id": f"e{self.sent}",
            "event_name": self._rng.choice(["view_item", "view_item", "view_item", "add_to_cart", "purchase", "dismiss_item"]),
            "event_time": int(time.time() * 1000),
            "visitor_id": visitor,
            "items": [{"item_id": f"i{self._rng.randrange(ITEMS)}"}],
            "page": {"page_type": self._rng.choice(["home", "product", "cart"])},
        }
        value = b'{"poison"' if self._rng.random() < 0.025 else msgspec.json.encode(event)
        self._producer.send(self._topic, value, key=message_key("default", visitor))
        self.sent += 1


def publish_items(settings: Settings, count: int = ITEMS) -> None:
    """A catalogue of random unit vectors, as the catalogue agent would have published it."""
    rng = np.random.default_rng(7)
    dim = json.loads((resolve(settings.model.path) / "manifest.json").read_text())["dim"]
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
    for number in range(count):
        vector = rng.standard_normal(dim)
        vector /= np.linalg.norm(vector)
        item = CatalogItem(item_id=f"i{number}", title=f"item {number}", categories=(f"D{number % 5} > T{number % 17}",), price=9.0)
        embedding = ItemEmbedding(
            item_id=item.item_id, tenant_id="default", model_version=1, dim=dim, fused=tuple(map(float, vector)), item=item
        )
        topic = settings.kafka.topic_prefix + ITEM_EMBEDDINGS
        producer.send(topic, encode(embedding), key=message_key("default", item.item_id))
    producer.flush()
    producer.close()


async def oracle(settings: Settings, events: Topic) -> tuple[dict[tuple[bytes, int, int], bytes], dict[bytes, bytes]]:
    """Pages by (visitor, partition, offset) and final states, one event at a time, through the same Triton."""
    view = ItemView()
    for record in Topic.read(settings, settings.kafka.topic_prefix + ITEM_EMBEDDINGS).records:
        view.apply(record.key, record.value)
    client = InferenceClient(settings.triton.grpc_address)
    metrics = WorkerMetrics.create(CollectorRegistry())
    refresher = Refresher(
        TritonRanker(client, settings.triton), view, SystemClock(), settings.session, settings.page, PAGES, metrics
    )
    states: dict[bytes, SessionState] = {}
    pages = {}
    for record in sorted(events.records, key=lambda r: (r.partition, r.offset)):
        incoming = Incoming(record.partition, record.offset, record.key, record.value, record.timestamp)
        batch = fold([incoming], states.get, settings.session, events_topic=EVENTS, dead_letter_topic=DEAD_LETTERS)
        for done in await refresher.refresh(batch, 0.0, dict.fromkeys(batch.visits, 0.0)):
            pages[done.key, record.partition, record.offset] = done.page.value or b""
            if done.state is not None:
                states[done.key] = done.state
    await client.close()
    return pages, {key: encode_state(state) for key, state in states.items()}


def content(page: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(page)
    return {name: value for name, value in decoded.items() if name not in TIME_FIELDS}


def wait_for_last_pages(settings: Settings, patience_seconds: float = 60.0) -> tuple[Topic, Topic]:
    """Events and pages, once every visitor's newest page answers the visitor's last good event."""
    prefix = settings.kafka.topic_prefix
    events = Topic.read(settings, prefix + EVENTS)
    last = {r.key: r.offset for r in events.records if not r.value.startswith(b'{"poison"')}
    deadline = time.monotonic() + patience_seconds
    while True:
        pages = Topic.read(settings, prefix + PAGES)
        newest: dict[bytes, int] = defaultdict(lambda: -1)
        for record in pages.records:
            newest[record.key] = max(newest[record.key], content(record.value)["source"]["offset"])
        if all(newest[key] == offset for key, offset in last.items()):
            return events, pages
        if time.monotonic() > deadline:
            missing = [key for key, offset in last.items() if newest[key] != offset]
            pytest.fail(f"{len(missing)} visitors have no page for their last event after {patience_seconds} s: {missing[:5]}")
        time.sleep(0.5)


def check_laws(settings: Settings, events: Topic, pages: Topic) -> dict[str, int]:
    """Every page and the final states equal the oracle's; every poison is a dead letter."""
    expected_pages, expected_states = asyncio.run(oracle(settings, events))
    seen: set[tuple[bytes, int, int]] = set()
    repeated = 0
    for record in pages.records:
        page = content(record.value)
        place = (record.key, page["source"]["partition"], page["source"]["offset"])
        assert page == content(expected_pages[place])
        repeated += place in seen
        seen.add(place)
    prefix, group = settings.kafka.topic_prefix, settings.worker.group
    states = {r.key: r.value for r in Topic.read(settings, f"{prefix}{group}-sessions-changelog").records}
    # After the last write of a visitor, later duplicates leave the state alone.
    assert {key: value for key, value in states.items() if value} == expected_states
    poison = {(r.partition, r.offset) for r in events.records if r.value.startswith(b'{"poison"')}
    dead = [dict(r.headers) for r in Topic.read(settings, prefix + DEAD_LETTERS).records]
    assert {(int(h["dlq.error.partition"]), int(h["dlq.error.offset"])) for h in dead} == poison
    return {"events": len(events.records), "pages": len(pages.records), "repeated": repeated, "dead": len(poison)}


@contextmanager
def shop(make_settings: SettingsFactory, start_triton: ProcessFactory, **worker: Any) -> Iterator[Settings]:
    """Settings with a Triton of their own that holds a small catalogue."""
    settings = make_settings(
        # A loaded machine must not turn into fallback pages here: those are tested elsewhere.
        triton={"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 20_000.0},
        worker={"session_timeout_seconds": 3.0, **worker},
    )
    publish_items(settings)
    start_triton(settings)
    yield settings


def test_twenty_kills_lose_nothing_and_show_nothing_twice(
    make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory
) -> None:
    rng = random.Random(11)
    with shop(make_settings, start_triton) as settings:
        with Traffic(settings, rate=60, seed=1) as traffic:
            worker = worker_process(settings)
            for _ in range(KILLS):
                time.sleep(rng.uniform(0.2, 2.5))  # the moment of the kill is the input of this test
                worker.kill()
                worker.start()
        events, pages = wait_for_last_pages(settings)
        figures = check_laws(settings, events, pages)
    assert figures["events"] == traffic.sent
    assert figures["dead"] > 0


def test_two_workers_share_the_partitions_and_take_over_with_the_sessions(
    make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory
) -> None:
    with shop(make_settings, start_triton) as settings:
        second = overridden(settings, {"worker": {"instance_id": "1", "metrics_address": free_address()}})
        with Traffic(settings, rate=60, seed=2) as traffic:
            worker_process(settings)
            for cycle in range(CYCLES):
                other: Child = worker_process(second)
                time.sleep(1.0)
                if cycle % 2:
                    other.kill()
                else:
                    other.stop(10)
        events, pages = wait_for_last_pages(settings)
        figures = check_laws(settings, events, pages)
    assert figures["events"] == traffic.sent

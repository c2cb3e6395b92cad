"""The follower of the item topic on a real broker that comes late, goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.kafka_client import kafka_python_options
from contracts.keys import item_key, message_key
from contracts.settings import Settings
from contracts.topics import ITEM_EMBEDDINGS
from stack.addresses import free_address, free_port
from stack.broker import Broker
from stack.declaration import declare_topics
from stack.environment import overridden
from stack.process import Child
from triton_models.follower import ItemFollower
from triton_models.index import create_index
from triton_models.items import START, LiveItems
from triton_models.metrics import IndexMetrics

pytestmark = pytest.mark.stack
DIM = 4
TOPIC = ITEM_EMBEDDINGS


def until(condition: Callable[[], bool], what: str, patience_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {patience_seconds} s")
        time.sleep(0.02)


def publish(settings: Settings, *records: tuple[str, bytes | None]) -> None:
    producer = KafkaProducer(acks="all", **kafka_python_options(settings.kafka))
    for item_id, value in records:
        producer.send(TOPIC, value, key=message_key("default", item_id))
    producer.flush()
    producer.close()


def record(item_id: str) -> bytes:
    item = CatalogItem(item_id=item_id, title=item_id)
    return encode(
        ItemEmbedding(
            item_id=item_id,
            tenant_id="default",
            model_version=1,
            dim=DIM,
            fused=(1, 0, 0, 0),
            item=item,
            catalog_time=int(time.time() * 1000),
        )
    )


def started(server: Broker) -> Child:
    child = server.child()
    child.start()
    server.wait_until_answering(child)
    return child


def known_to(items: LiveItems, *item_ids: str) -> list[bool]:
    with items.lock:
        rows = items.rows_of(np.array([item_key("default", item_id) for item_id in item_ids]))
    return [bool(row >= 0) for row in rows]


def test_items_follow_a_broker_that_comes_late_goes_away_and_comes_back(tmp_path: Path) -> None:
    settings = overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address(), "partitions": 2},
            "stack": {"var": tmp_path, "controller_port": free_port(), "heap": "256m"},
        },
    )
    items, registry = LiveItems(DIM, create_index("exact", DIM, START)), CollectorRegistry()
    follower = ItemFollower(settings.kafka, TOPIC, items, 1, IndexMetrics.create(registry))
    known = partial(known_to, items)

    follower.start()
    server = Broker(settings)
    server.prepare()
    child = started(server)
    try:
        until(follower.connected.is_set, "the broker is found")
        assert not follower.ready.is_set()  # the topic is not declared yet
        declare_topics(settings.kafka)
        until(follower.ready.is_set, "an empty topic is complete")
        publish(settings, ("a", record("a")), ("b", record("b")), ("a", b"{broken"), ("b", None), ("c", record("c")))
        until(lambda: known("a", "b", "c") == [True, False, True], "records are applied, a bad one is skipped")
        until(lambda: items.version == 5, "the position counts every record")

        child.kill()
        until(lambda: follower.age_seconds() > 3, "the age tells that the broker is away")
        assert known("a", "c") == [True, True]
        child = started(server)
        publish(settings, ("d", record("d")), ("a", None))
        until(lambda: known("a", "c", "d") == [False, True, True], "what came after the return is applied")
        until(lambda: items.version == 7, "the position follows once the broker has said where the topic ends")
        assert registry.get_sample_value("vitrine_index_records_total", {"outcome": "upserted"}) == 4  # nothing read twice
        assert (registry.get_sample_value("vitrine_index_reconnects_total") or 0) >= 1
        assert registry.get_sample_value("vitrine_time_to_eligibility_seconds_count") == 3
    finally:
        follower.stop(15)
        child.stop(10)

"""The catalogue on real services: record, catalogue worker, item encoder, embeddings topic, index, answer."""

from __future__ import annotations

import asyncio
import base64
import io
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw

from contracts.catalog import CatalogItem, Image, ItemEmbedding, Rating, decode_embedding, encode
from contracts.kafka_client import kafka_python_options
from contracts.keys import item_key, message_key, tenant_key
from contracts.settings import Settings
from contracts.tensors import PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, RING, Context, EventKind, Info
from contracts.topics import CATALOG, DEAD_LETTERS, ITEM_EMBEDDINGS
from stack.addresses import free_address
from stack.triton import TritonServer
from streams.inference import InferenceClient
from tests.conftest import ProcessFactory, SettingsFactory

pytestmark = pytest.mark.stack
TENANT = "acme"
COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}
PATIENCE_SECONDS = 30.0


def picture(colour: str) -> Image:
    out = io.BytesIO()
    drawn = Picture.new("RGB", (80, 96), (255, 255, 255))
    ImageDraw.Draw(drawn).ellipse((10, 10, 70, 86), fill=COLOURS[colour])
    drawn.save(out, "PNG")
    return Image("data:image/png;base64," + base64.b64encode(out.getvalue()).decode())


def product(item_id: str, colour: str, **more: Any) -> CatalogItem:
    values: dict[str, Any] = {
        "title": f"{colour} shoe",
        "tenant_id": TENANT,
        "categories": ("Shoes",),
        "price": 20.0,
        "images": (picture(colour),),
        "rating": Rating(4.0, 10),
    }
    return CatalogItem(item_id=item_id, **(values | more))


class Shop:
    """Publishes to the catalogue topic and asks the ranker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = KafkaProducer(acks="all", **kafka_python_options(settings.kafka))

    def put(self, *items: CatalogItem) -> None:
        for item in items:
            self.send(encode(item), message_key(item.tenant_id, item.item_id))
        self.producer.flush()

    def send(self, value: bytes | None, key: bytes) -> None:
        self.producer.send(self.settings.kafka.topic_prefix + CATALOG, value, key=key)
        self.producer.flush()

    def rank(self, *touched: str) -> dict[str, NDArray[Any]]:
        """Answer for a visitor who viewed these items."""
        context = np.zeros((1, len(Context)), np.int64)
        context[0, Context.TENANT_KEY] = tenant_key(TENANT)
        events = np.array([[item_key(TENANT, item_id) for item_id in touched] or [0]], np.int64)
        inputs: dict[str, NDArray[Any]] = {
            "state": np.zeros((1, 1), np.float32),
            "ring": np.zeros((1, RING), np.int64),
            "events": events,
            "kinds": np.full(events.shape, EventKind.VIEW, np.int32),
            "exclude": np.zeros((1, 1), np.int64),
            "context": context,
        }

        async def ask() -> dict[str, NDArray[Any]]:
            async with InferenceClient(self.settings.triton.grpc_address) as client:
                return await client.infer("page_ranker", inputs, PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, deadline_s=5)

        return asyncio.run(ask())

    def answers(self, item_id: str) -> bool:
        return item_key(TENANT, item_id) in self.rank()["items"][0].tolist()

    def embedding(self, item_id: str) -> ItemEmbedding:
        """The newest embedding of an item."""
        return decode_embedding(
            [value for key, value in self.read(ITEM_EMBEDDINGS) if key == message_key(TENANT, item_id)][-1] or b""
        )

    def read(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """All records of a topic."""
        consumer = KafkaConsumer(group_id=None, auto_offset_reset="earliest", **kafka_python_options(self.settings.kafka))
        name = self.settings.kafka.topic_prefix + topic
        partitions = [TopicPartition(name, number) for number in range(self.settings.kafka.partitions)]
        consumer.assign(partitions)
        ends, found = consumer.end_offsets(partitions), []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                found += [(record.key, record.value) for record in records]
        consumer.close()
        return found

    def metric(self, name: str) -> float:
        address = self.settings.monitoring.model_metrics_address
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name))


def until(condition: Callable[[], bool], what: str) -> float:
    """Poll; seconds that it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > PATIENCE_SECONDS:
            pytest.fail(f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.fixture
def shop(make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory) -> Iterator[Shop]:
    settings = make_settings(
        triton={"grpc_address": free_address(), "metrics_address": free_address()}, worker={"role": "catalog"}
    )
    start_triton(settings)
    worker_process(settings)
    made = Shop(settings)
    yield made
    made.producer.close()


def test_a_product_lives_from_its_record_to_its_deletion(shop: Shop) -> None:
    shop.put(
        *(product(f"{colour}-{number}", colour, description=f"number {number}") for number in range(8) for colour in COLOURS)
    )
    until(lambda: shop.rank()["info"][Info.INDEX_SIZE] == 16, "all products are in the index")
    embedding = shop.embedding("red-1")
    assert embedding.missing_modalities == ("behaviour",)
    assert sum(
        weight * np.dot(embedding.fused, part)
        for weight, part in zip(embedding.weights, (embedding.text, embedding.image), strict=False)
    ) == pytest.approx(1, abs=1e-4)

    # A change of price or stock keeps the vectors; out of stock leaves the answers but not the encoder.
    shop.put(product("red-1", "red", description="number 1", price=15.0, availability="OUT_OF_STOCK"))
    until(lambda: not shop.answers("red-1"), "an item out of stock is not answered")
    after = shop.embedding("red-1")
    assert (after.fused, after.item and after.item.price) == (embedding.fused, 15.0)
    assert shop.rank("red-1")["state"].any()

    shop.send(None, message_key(TENANT, "red-2"))
    until(lambda: not shop.answers("red-2"), "a deleted item is gone")
    assert not shop.rank("red-2")["state"].any()

    # A bad record is kept and the stream goes on.
    shop.send(b"{broken", message_key(TENANT, "bad"))
    shop.put(product("new", "blue", title="Brand new blue shoe"))
    seconds = until(lambda: shop.answers("new"), "a new product is answered")
    assert seconds < 5
    assert (message_key(TENANT, "bad"), b"{broken") in shop.read(DEAD_LETTERS)
    assert shop.metric("vitrine_time_to_eligibility_seconds_count") >= 17
    assert shop.metric("vitrine_time_to_eligibility_seconds_sum") / shop.metric("vitrine_time_to_eligibility_seconds_count") < 5


def test_a_restarted_ranker_has_the_whole_catalogue_when_it_is_ready(shop: Shop, start_triton: ProcessFactory) -> None:
    shop.put(*(product(f"shoe-{number}", "red", description=f"number {number}") for number in range(20)))
    until(lambda: shop.rank()["info"][Info.INDEX_SIZE] == 20, "all products are in the index")
    before = shop.rank("shoe-3", "shoe-5")
    shop.settings = shop.settings.model_copy(
        update={
            "triton": shop.settings.triton.model_copy(
                update={"grpc_address": free_address(), "metrics_address": free_address()}
            ),
            "monitoring": shop.settings.monitoring.model_copy(update={"model_metrics_address": free_address()}),
        }
    )
    start_triton(shop.settings)
    after = shop.rank("shoe-3", "shoe-5")
    for name in ("state", "items", "scores", "shares", "sources", "info"):
        assert after[name].tobytes() == before[name].tobytes(), name


def test_both_models_answer_their_canaries(triton: str, session_settings: Settings) -> None:
    assert TritonServer(session_settings).is_ready()

    async def ready() -> list[bool]:
        async with InferenceClient(triton) as client:
            return [await client.is_model_ready(name) for name in ("page_ranker", "item_encoder", "none")]

    assert asyncio.run(ready()) == [True, True, False]

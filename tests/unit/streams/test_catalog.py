"""The catalogue agent on a fake encoder: what it writes for which records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, Image, decode_embedding, encode
from contracts.errors import EncoderUnavailable
from contracts.keys import item_key, message_key
from contracts.tensors import ITEM_ENCODER_INPUTS, MAX_TEXT_BYTES
from monitoring.metrics import CatalogMetrics
from streams.batch import Incoming
from streams.catalog import CatalogAgent
from streams.encoding import Encoded
from streams.pictures import PictureRefused, PictureUnavailable
from streams.ports import Record, Tensors

TOPICS = ("embeddings", "dead", "catalog")
PIXELS = np.full((8, 8, 3), 9, np.uint8)


class FakeEncoder:
    """Text vector e1, picture vector e2, mixed half and half where both are there; fails while `error` is set."""

    def __init__(self) -> None:
        self.version = 1
        self.seen: list[list[int]] = []
        self.text_bytes: list[tuple[int, ...]] = []
        self.error: EncoderUnavailable | None = None

    async def encode(self, tensors: Tensors) -> Encoded:
        for spec in ITEM_ENCODER_INPUTS:
            spec.check(tensors[spec.name])
        if self.error is not None:
            raise self.error
        self.text_bytes.append(tensors["text"].shape)
        self.seen.append(tensors["keys"].tolist())
        rows = len(tensors["keys"])
        picture = (tensors["has_image"] != 0).astype(np.float32)
        text = np.tile(np.array([1, 0], np.float32), (rows, 1))
        image = np.array([0, 1], np.float32) * picture[:, None]
        weights = np.stack([1 / np.sqrt(1 + picture), picture / np.sqrt(1 + picture), 0 * picture], axis=1).astype(np.float32)
        missing = (4 + 2 * (1 - picture)).astype(np.int32)
        return Encoded(weights[:, :1] * text + weights[:, 1:2] * image, text, image, weights, missing, self.version)


class FakePictures:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def load(self, uri: str) -> NDArray[np.uint8]:
        if uri == "refused":
            raise PictureRefused(uri)
        self.asked.append(uri)
        if uri.startswith("away"):
            raise PictureUnavailable(uri)
        if uri == "unforeseen":
            raise OverflowError(uri)
        return PIXELS


class Shop:
    """An agent with its fakes."""

    def __init__(self) -> None:
        self.encoder = FakeEncoder()
        self.registry = CollectorRegistry()
        metrics = CatalogMetrics.create(self.registry)
        self.pictures = FakePictures()
        self.agent = CatalogAgent(self.encoder, self.pictures, metrics, TOPICS, wall_ms=lambda: 5)
        self.offset = 0

    def record(self, value: bytes | None, key: bytes | None) -> Incoming:
        self.offset += 1
        return Incoming(partition=3, offset=self.offset, key=key, value=value, timestamp=1000 + self.offset)

    def put(self, item_id: str = "shoe", **more: Any) -> Incoming:
        item = CatalogItem(item_id=item_id, title=more.pop("title", "Red shoe"), tenant_id="acme", **more)
        return self.record(encode(item), message_key("acme", item_id))

    def process(self, *batch: Incoming) -> Sequence[Record]:
        return asyncio.run(self.agent.process(batch))

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("vitrine_catalog_records_total", {"outcome": outcome}) or 0


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_product_becomes_an_embedding_with_its_metadata(shop: Shop) -> None:
    (record,) = shop.process(shop.put(price=9.5, images=(Image("there"),)))
    embedding = decode_embedding(record.value or b"")
    assert (record.topic, record.key) == ("embeddings", b"acme|shoe")
    assert (embedding.item_id, embedding.tenant_id, embedding.model_version, embedding.dim) == ("shoe", "acme", 1, 2)
    assert embedding.fused == pytest.approx((2**-0.5, 2**-0.5), abs=1e-6)
    assert (embedding.text, embedding.image, embedding.missing_modalities) == ((1, 0), (0, 1), ("behaviour",))
    assert (embedding.catalog_time, embedding.created_time) == (1001, 5)
    assert (embedding.source_partition, embedding.source_offset) == (3, 1)
    assert embedding.item is not None
    assert embedding.item.price == 9.5
    assert shop.encoder.seen == [[item_key("acme", "shoe")]]


def test_a_deletion_is_passed_on_as_a_deletion(shop: Shop) -> None:
    assert shop.process(shop.record(None, b"acme|shoe")) == [Record("embeddings", b"acme|shoe", None)]
    assert shop.encoder.seen == []


def test_a_change_of_price_or_stock_is_not_encoded_again_but_published(shop: Shop) -> None:
    shop.process(shop.put("hat"), shop.put("shoe", price=10.0))
    (first, second) = shop.process(shop.put("hat", price=3.0), shop.put("shoe", available_quantity=0))
    assert shop.encoder.seen[1] == [item_key("acme", "hat")]  # one is always asked, to notice another model
    assert decode_embedding(second.value or b"").item == CatalogItem("shoe", "Red shoe", "acme", available_quantity=0)
    assert decode_embedding(first.value or b"").fused == (1, 0)
    assert (shop.count("encoded"), shop.count("reused")) == (3, 1)


def test_a_changed_text_or_picture_is_encoded_again(shop: Shop) -> None:
    shop.process(shop.put("hat"), shop.put())
    shop.process(shop.put("hat", title="Blue"), shop.put(images=(Image("there"),)))
    assert len(shop.encoder.seen[1]) == 2


def test_another_model_serves_every_product_of_the_batch_anew(shop: Shop) -> None:
    shop.process(shop.put("hat"), shop.put())
    shop.encoder.version = 2
    records = shop.process(shop.put("hat"), shop.put())
    assert [decode_embedding(record.value or b"").model_version for record in records] == [2, 2]
    assert len(shop.encoder.seen[-1]) == 2


def test_of_several_records_of_an_item_in_a_batch_the_newest_counts(shop: Shop) -> None:
    (record,) = shop.process(shop.put(title="Old"), shop.record(None, b"acme|shoe"), shop.put(title="New"))
    assert decode_embedding(record.value or b"").item == CatalogItem("shoe", "New", "acme")
    assert shop.count("superseded") == 2


def test_bad_records_become_dead_letters_and_the_others_go_on(shop: Shop) -> None:
    batch = (
        shop.record(b"{", b"acme|a"),
        shop.put(),
        shop.record(encode(CatalogItem("b", "B", "acme")), b"acme|c"),
        shop.record(None, b"x"),
    )
    records = shop.process(*batch)
    assert [record.topic for record in records] == ["dead", "embeddings", "dead", "dead"]
    assert [records[place].value for place in (0, 2, 3)] == [batch[place].value for place in (0, 2, 3)]
    codes = [dict(record.headers).get("dlq.error.code") for record in records]
    assert codes == [b"malformed", None, b"invalid_field", b"invalid_field"]
    assert shop.registry.get_sample_value("vitrine_catalog_dead_letters_total", {"reason": "invalid_field"}) == 2


def test_the_same_batch_again_gives_the_same_records(shop: Shop) -> None:
    batch = (shop.put("hat"), shop.put(images=(Image("there"),)), shop.record(b"{", b"acme|a"), shop.record(None, b"acme|old"))
    assert shop.process(*batch) == shop.process(*batch)


def test_a_picture_that_is_refused_is_missing_and_the_item_still_served(shop: Shop) -> None:
    (record,) = shop.process(shop.put(images=(Image("refused"),)))
    assert decode_embedding(record.value or b"").missing_modalities == ("image", "behaviour")
    assert shop.registry.get_sample_value("vitrine_catalog_pictures_missing_total", {"reason": "refused"}) == 1


def test_a_picture_that_was_away_is_tried_again_at_the_next_record(shop: Shop) -> None:
    for _ in range(2):
        shop.process(shop.put("hat"), shop.put(images=(Image("away"),)))
    assert item_key("acme", "shoe") in shop.encoder.seen[1]


def test_a_host_that_does_not_answer_is_not_waited_for_by_every_product_of_a_batch(shop: Shop) -> None:
    images = [(Image(f"away://host/{number}.png"),) for number in range(30)]
    records = shop.process(*(shop.put(f"i{number}", images=images[number]) for number in range(30)))
    assert len(records) == 30
    assert 1 <= len(shop.pictures.asked) <= 4
    shop.process(shop.put("i0", images=images[0]))
    assert shop.pictures.asked[-1] == "away://host/0.png"


def test_a_picture_that_fails_in_an_unforeseen_way_costs_its_product_no_more_than_the_picture(shop: Shop) -> None:
    records = shop.process(shop.put(images=(Image("unforeseen"),)), shop.put("hat"))
    assert [decode_embedding(record.value or b"").item_id for record in records] == ["shoe", "hat"]


def test_an_encoder_that_is_away_leaves_the_batch_undone(shop: Shop) -> None:
    shop.encoder.error = EncoderUnavailable("gone")
    batch = (shop.put(), shop.record(b"{", b"acme|a"))
    with pytest.raises(EncoderUnavailable):
        shop.process(*batch)
    shop.encoder.error = None
    assert [record.topic for record in shop.process(*batch)] == ["embeddings", "dead"]


def test_a_long_text_is_cut_and_a_product_without_text_is_sent(shop: Shop) -> None:
    shop.process(shop.put(title="ü" * 900), shop.put("empty", title=""))
    assert shop.encoder.text_bytes == [(2, MAX_TEXT_BYTES)]
    assert shop.count("encoded") == 2

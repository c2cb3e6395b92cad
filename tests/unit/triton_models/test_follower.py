"""Records of the item topic to the index; the thread on a real broker is tested in tests/stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, Rating, encode
from contracts.errors import ContractError
from contracts.keys import category_key, item_key, message_key, tenant_key
from contracts.settings import KafkaSettings
from stack.addresses import free_address
from triton_models.follower import ItemFollower
from triton_models.index import create_index
from triton_models.items import START, LiveItems
from triton_models.metrics import IndexMetrics
from triton_models.records import read_change
from triton_models.serving import _wait

DIM = 4


def record(item_id: str = "shoe", **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "item_id": item_id,
        "tenant_id": "acme",
        "model_version": 1,
        "dim": DIM,
        "fused": (0.6, 0.8, 0.0, 0.0),
        "text": (0.6, 0.8, 0.0, 0.0),
        "weights": (1.0, 0.0, 0.0),
        "catalog_time": 1000,
        "item": CatalogItem(
            item_id=item_id, title="Shoe", tenant_id="acme", categories=("Shoes > Red",), rating=Rating(4.0, 9), price=20.0
        ),
    }
    return encode(ItemEmbedding(**(values | changes)))


def test_a_record_becomes_a_row_with_what_the_ranker_needs() -> None:
    change = read_change(message_key("acme", "shoe"), record(), DIM)
    assert change.item is not None
    assert (change.key, change.catalog_time, change.model_version) == (item_key("acme", "shoe"), 1000, 1)
    assert (change.item.tenant, change.item.is_eligible) == (tenant_key("acme"), True)
    assert change.item.facts.department == category_key("acme", "Shoes")
    assert change.item.facts.popularity == pytest.approx(np.log(10))
    assert change.item.image.tolist() == [0, 0, 0, 0]


def test_a_null_value_deletes_by_its_key() -> None:
    assert read_change(message_key("acme", "shoe"), None, DIM) == (item_key("acme", "shoe"), None, 0, 0)


@pytest.mark.parametrize(
    "item",
    [
        CatalogItem(item_id="shoe", title="", tenant_id="acme", availability="OUT_OF_STOCK"),
        CatalogItem(item_id="shoe", title="", tenant_id="acme", available_quantity=0),
    ],
)
def test_what_is_out_of_stock_is_known_but_may_not_answer(item: CatalogItem) -> None:
    change = read_change(b"", record(item=item), DIM)
    assert change.item is not None
    assert not change.item.is_eligible


def test_a_record_without_metadata_is_served_by_its_vector_alone() -> None:
    change = read_change(b"", record(item=None), DIM)
    assert change.item is not None
    assert change.item.is_eligible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"{", "not UTF-8 JSON"),
        (b'{"item_id": "shoe"}', "tenant_id"),
        (record(fused=(1.0, 0.0)), "2 numbers, expected 4"),
        (record(text=(1.0, 0.0)), r"\$.text: 2 numbers, expected 4"),
        (record(fused=(0.6, 0.6, 0.6, 0.6)), "length 1.2"),
        (record(fused=(0.0, 0.0, 0.0, 0.0)), "length 0.0"),
        (record().replace(b"0.6,0.8", b"1e39,0.8", 1), "beyond ±2"),
    ],
)
def test_a_bad_record_is_refused_in_words(value: bytes, text: str) -> None:
    with pytest.raises(ContractError, match=text):
        read_change(b"acme|shoe", value, DIM)


class Log:
    """What the thread's `poll` would hand over."""

    def __init__(self, key: bytes, value: bytes | None) -> None:
        self.key, self.value, self.partition, self.offset = key, value, 0, 0


def follower(items: LiveItems, registry: CollectorRegistry) -> ItemFollower:
    settings = KafkaSettings(bootstrap_servers=free_address())
    return ItemFollower(settings, "items", items, 1, IndexMetrics.create(registry))


def test_malformed_records_are_counted_and_skipped_and_the_newest_of_an_item_counts() -> None:
    items, registry = LiveItems(DIM, create_index("exact", DIM, START)), CollectorRegistry()
    thread = follower(items, registry)
    key = message_key("acme", "shoe")
    other = message_key("acme", "hat")
    thread._apply(
        [
            Log(key, record()),
            Log(key, b"broken"),
            Log(other, record("hat", model_version=2)),
            Log(key, None),
            Log(b"nokey", None),
        ]
    )
    assert items.rows_of(np.array([item_key("acme", "shoe"), item_key("acme", "hat")])).tolist() == [-1, 0]

    def count(outcome: str) -> float | None:
        return registry.get_sample_value("vitrine_index_records_total", {"outcome": outcome})

    assert [count(outcome) for outcome in ("upserted", "deleted", "malformed", "other_version")] == [2, 1, 2, 1]


def test_a_broker_that_is_away_holds_nobody_up_for_long_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton_models.serving.CONNECT_SECONDS", 0.2)
    items, registry = LiveItems(DIM, create_index("exact", DIM, START)), CollectorRegistry()
    thread = follower(items, registry)
    thread.start()
    _wait(thread)
    assert not thread.ready.is_set()
    assert thread.is_alive()
    thread.stop(20)
    assert not thread.is_alive()

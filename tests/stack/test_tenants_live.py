"""Two shops on one installation: each tries to read, change and fool the other, through the real gateway, worker and ranker."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from kafka import KafkaProducer
from pydantic import SecretStr

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import ROOT, Settings, resolve
from contracts.topics import CATALOG, EVENTS, ITEM_EMBEDDINGS
from stack.addresses import free_address, free_port
from stack.environment import child_environment, overridden
from stack.process import Child
from tests.conftest import wait_until_healthy

pytestmark = pytest.mark.stack
PATIENCE_SECONDS = 30.0
RED, BLUE = "tenants-red", "tenants-blue"
ITEMS = 30


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class Shop:
    """One tenant as its own people reach the installation."""

    tenant: str
    web: httpx.Client
    operator: httpx.Client

    def acts(self, visitor: str, event_id: str, item: str, **more: Any) -> httpx.Response:
        event = {
            "event_id": event_id,
            "event_name": "view_item",
            "event_time": int(time.time() * 1000),
            "visitor_id": visitor,
            "items": [{"item_id": item}],
            **more,
        }
        return self.web.post("/v1/events", json=event)

    def page_after(self, visitor: str, event_id: str) -> dict[str, Any]:
        """The visitor's page that answers that event."""

        def found() -> dict[str, Any] | None:
            answer = self.web.get(f"/v1/pages/{visitor}")
            page: dict[str, Any] = answer.json()
            return page if answer.status_code == 200 and page["trigger_event_id"] == event_id else None

        page: dict[str, Any] = until(found, f"a page of {self.tenant} for {event_id}")
        return page


@dataclass(frozen=True)
class World:
    settings: Settings
    red: Shop
    blue: Shop
    write: Callable[[str, bytes, bytes], Any]


def items_of(page: dict[str, Any]) -> set[str]:
    return {item["item_id"] for placement in page["placements"] for item in placement["items"]}


def key(tenant: str, kind: str) -> str:
    return f"{kind}-key-of-{tenant}"


@pytest.fixture(scope="module")
def world(
    session_settings: Settings, triton: str, tmp_path_factory: pytest.TempPathFactory, module_processes: Callable[..., None]
) -> Iterator[World]:
    """Both shops with goods, a worker, and a gateway that knows a key of each shop."""
    assert triton == session_settings.triton.grpc_address
    folder = tmp_path_factory.mktemp("tenants")
    keys = {kind: {tenant: (SecretStr(key(tenant, kind)),) for tenant in (RED, BLUE)} for kind in ("shop", "operator")}
    settings = overridden(
        session_settings,
        {
            "worker": {"metrics_address": free_address(), "data_dir": folder / "worker", "group": "tenants-worker"},
            "gateway": {"port": free_port(), "api_keys": keys["shop"], "operator_keys": keys["operator"]},
        },
    )
    producer = KafkaProducer(**kafka_python_options(settings.kafka))

    def write(topic: str, record_key: bytes, value: bytes) -> Any:
        return producer.send(settings.kafka.topic_prefix + topic, value, key=record_key).get(10)

    for tenant in (RED, BLUE):
        _stock(settings, tenant, write)
    module_processes(settings)
    address = f"http://127.0.0.1:{settings.gateway.port}"

    def shop(tenant: str) -> Shop:
        clients = [
            httpx.Client(base_url=address, headers={"X-API-Key": key(tenant, kind)}, timeout=10, trust_env=False)
            for kind in ("shop", "operator")
        ]
        return Shop(tenant, *clients)

    red, blue = shop(RED), shop(BLUE)
    until(lambda: blue.web.get("/v1/items").json()["total"] == ITEMS + 1, "the gateway knows the goods")
    yield World(settings, red, blue, write)
    producer.close()


@pytest.fixture(scope="module")
def module_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Settings], None]]:
    """Starts worker and gateway for the module."""
    folder = tmp_path_factory.mktemp("processes")
    started: list[Child] = []

    def start(settings: Settings) -> None:
        for module in ("streams", "gateway"):
            child = Child(module, [sys.executable, "-m", module], child_environment(settings), folder / f"{module}.log", ROOT)
            child.start()
            started.append(child)
        addresses = (settings.worker.metrics_address, f"127.0.0.1:{settings.gateway.port}")
        for child, address in zip(started, addresses, strict=True):
            wait_until_healthy(child, address)

    yield start
    for child in started:
        child.stop(5)


def _stock(settings: Settings, tenant: str, write: Callable[[str, bytes, bytes], Any]) -> None:
    """Goods of one shop: ids of its own, and one id that the other shop uses too."""
    rng = np.random.default_rng(11)
    dim = json.loads((resolve(settings.model.path) / "manifest.json").read_text())["dim"]
    for item_id in [*(f"{tenant}-{number}" for number in range(ITEMS)), "same"]:
        vector = rng.standard_normal(dim)  # the same vectors in both shops: only the tenant tells them apart
        vector /= np.linalg.norm(vector)
        item = CatalogItem(item_id=item_id, tenant_id=tenant, title=f"{item_id} of {tenant}", categories=(tenant,), price=9.0)
        embedding = ItemEmbedding(
            item_id=item_id, tenant_id=tenant, model_version=1, dim=dim, fused=tuple(map(float, vector)), item=item
        )
        write(CATALOG, message_key(tenant, item_id), encode(item))
        write(ITEM_EMBEDDINGS, message_key(tenant, item_id), encode(embedding))


def test_one_visitor_id_in_two_shops_is_two_visitors_with_goods_of_their_own(world: World) -> None:
    assert world.red.acts("anna", "r1", f"{RED}-1").status_code == 202
    assert world.blue.acts("anna", "b1", f"{BLUE}-1").status_code == 202
    red, blue = world.red.page_after("anna", "r1"), world.blue.page_after("anna", "b1")
    assert (red["tenant_id"], blue["tenant_id"]) == (RED, BLUE)
    assert red["sequence"] == blue["sequence"] == 1
    for page, tenant in ((red, RED), (blue, BLUE)):
        assert items_of(page)
        assert {item for item in items_of(page) if item != "same" and not item.startswith(f"{tenant}-")} == set()


def test_the_other_shops_item_ids_bring_none_of_its_goods(world: World) -> None:
    for number in range(5):
        assert world.red.acts("spy", f"s{number}", f"{BLUE}-{number}").status_code == 202
    page = world.red.page_after("spy", "s4")
    assert {item for item in items_of(page) if item.startswith(BLUE)} == set()


def test_an_event_in_the_name_of_the_other_shop_is_refused(world: World) -> None:
    answer = world.red.acts("forged", "f1", f"{BLUE}-1", tenant_id=BLUE)
    assert answer.status_code == 422
    assert "tenant" in answer.text
    batch = {"events": [{"event_id": "f2", "event_name": "page_view", "event_time": 1, "visitor_id": "x", "tenant_id": BLUE}]}
    assert world.red.web.post("/v1/events", json=batch).status_code == 422
    item = {"item_id": f"{BLUE}-1", "tenant_id": BLUE, "title": "taken over", "categories": ["x"], "price": 1.0}
    assert world.red.web.post("/v1/catalog", json=item).status_code == 422
    assert world.blue.web.get(f"/v1/items/{BLUE}-1").json()["title"] != "taken over"


@pytest.mark.parametrize("visitor", ["only-blue", f"{BLUE}|only-blue", "..%2Fonly-blue", "only-blue?tenant=" + BLUE])
def test_the_other_shops_pages_are_not_found_by_any_spelling(world: World, visitor: str) -> None:
    world.blue.acts("only-blue", "o1", f"{BLUE}-2")
    world.blue.page_after("only-blue", "o1")
    assert world.red.web.get(f"/v1/pages/{visitor}").status_code == 404


def test_a_stream_of_the_same_visitor_id_never_shows_the_other_shops_pages(world: World) -> None:
    with world.red.web.stream("GET", "/v1/pages/streamed/stream") as response:
        lines = response.iter_lines()
        assert world.blue.acts("streamed", "t1", f"{BLUE}-3").status_code == 202
        world.blue.page_after("streamed", "t1")
        assert world.red.acts("streamed", "t2", f"{RED}-3").status_code == 202
        data = next(line for line in lines if line.startswith("data:"))
    assert json.loads(data.removeprefix("data:"))["tenant_id"] == RED


def test_goods_of_the_other_shop_are_not_found_searched_listed_or_deleted(world: World) -> None:
    web = world.red.web
    assert web.get(f"/v1/items/{BLUE}-4").status_code == 404
    assert web.get(f"/v1/items/{BLUE}-4/status").status_code == 404
    assert web.get("/v1/items", params={"query": BLUE}).json()["total"] == 0
    assert web.get("/v1/items", params={"ids": f"{BLUE}-4,same"}).json()["items"][0]["title"] == f"same of {RED}"
    assert BLUE not in web.get("/v1/categories").text
    web.delete(f"/v1/items/{BLUE}-4")
    web.delete("/v1/items/same")
    until(lambda: web.get("/v1/items/same").status_code == 404, "red's own item is gone")
    assert world.blue.web.get(f"/v1/items/{BLUE}-4").status_code == 200
    assert world.blue.web.get("/v1/items/same").json()["title"] == f"same of {BLUE}"


def test_erasing_a_visitor_leaves_the_other_shops_visitor_of_that_name_alone(world: World) -> None:
    for shop, item in ((world.red, f"{RED}-5"), (world.blue, f"{BLUE}-5")):
        shop.acts("erased", f"{shop.tenant}-e1", item)
        shop.page_after("erased", f"{shop.tenant}-e1")
    assert world.red.web.delete("/v1/visitors/erased").status_code == 202
    until(lambda: world.red.web.get("/v1/pages/erased").status_code == 404, "red's page is forgotten")
    assert world.blue.web.get("/v1/pages/erased").status_code == 200
    world.blue.acts("erased", f"{BLUE}-e2", f"{BLUE}-6")
    assert world.blue.page_after("erased", f"{BLUE}-e2")["sequence"] == 2  # the session lives on


def test_dead_letters_are_shown_to_and_sent_again_by_their_own_shop_only(world: World) -> None:
    world.write(EVENTS, message_key(BLUE, "broken"), b'{"secret of blue"')
    letters = "/v1/ops/dead-letters"
    (letter,) = until(lambda: world.blue.operator.get(letters).json()["dead_letters"], "blue sees its dead letter")
    seen = world.red.operator.get(letters)
    assert seen.json() == {"seen": 0, "kept": seen.json()["kept"], "dead_letters": []}
    replay = f"{letters}/{letter['partition']}/{letter['offset']}/replay"
    assert world.red.operator.post(replay).status_code == 404
    assert world.red.web.get(letters).status_code == 403
    assert world.blue.operator.post(replay).status_code == 202

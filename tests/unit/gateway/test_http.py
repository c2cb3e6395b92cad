"""The gateway over HTTP, in process, with a publisher that remembers instead of a broker."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, encode
from contracts.errors import BrokerUnavailable, ConfigurationError
from contracts.settings import Settings
from gateway.access import Bucket
from gateway.app import create_app
from gateway.follower import Followed
from gateway.ingest import Outgoing
from gateway.policy import RULES, Access, Rule
from tests.fakes import ManualClock

EVENT = {"event_id": "e", "event_name": "view_item", "event_time": 1_700_000_000_000, "visitor_id": "v"}
ELSEWHERE = "192.0.2.1"  # an address that others could reach; nothing listens there
SECRET, PUBLIC, OPERATOR = "secret-key-of-the-shop", "public-key-of-the-page", "operator-key-of-nobody"


class RememberingPublisher:
    """Takes records, or refuses them like a broker that is away."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Outgoing, tuple[tuple[str, bytes], ...]]] = []
        self.is_away = False

    async def publish(self, topic: str, records: Sequence[Outgoing], headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Remember."""
        if self.is_away:
            message = "the broker is away"
            raise BrokerUnavailable(message)
        self.records += [(topic, record, tuple(headers)) for record in records]

    async def is_reachable(self) -> bool:
        """As set."""
        return not self.is_away


class World:
    """An app with its publisher, clock and client."""

    def __init__(self, tmp_path: Path, **gateway: Any) -> None:
        settings = Settings.model_validate({"gateway": gateway, "stack": {"var": tmp_path}})
        self.publisher = RememberingPublisher()
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.app: FastAPI = create_app(settings, registry=self.registry, clock=self.clock, publisher=self.publisher)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the app."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client

    def run(self, scenario: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> httpx.Response:
        """Run one scenario."""

        async def go() -> httpx.Response:
            async with self.client() as client:
                return await scenario(client)

        return asyncio.run(go())

    def post(self, path: str, body: Any) -> httpx.Response:
        """Post JSON."""
        return self.run(lambda client: client.post(path, json=body))

    def ask(self, method: str, path: str, key: str) -> httpx.Response:
        """Ask with a key."""
        return self.run(lambda client: client.request(method, path, headers=bearer(key)))

    def take_page(self, visitor: str, offset: int, tenant: str = "default") -> None:
        """A page arrives from the worker."""
        now = self.clock.wall_ms()
        value = {
            "visitor_id": visitor,
            "source": {"partition": 0, "offset": offset},
            "sequence": offset,
            "generated_time": now,
            "expire_time": now + 1000,
        }
        self.app.state.services.pages.take(
            Followed(f"{tenant}|{visitor}".encode(), json.dumps(value).encode(), 0, offset, now, ())
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> World:
    return World(
        tmp_path,
        host=ELSEWHERE,
        api_keys={"acme": [SECRET]},
        browser_keys={"acme": [PUBLIC]},
        operator_keys={"acme": [OPERATOR]},
        rate_limit_per_second=10,
        cors_origins=["https://shop.example"],
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_an_accepted_event_has_been_given_to_the_broker(world: World) -> None:
    answer = world.run(lambda client: client.post("/v1/events", json=EVENT))
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "ids": ["e"], "rejected": []}
    topic, record, _ = world.publisher.records[0]
    assert (topic, record.key) == ("shop.events.v1", b"default|v")


def test_nothing_is_accepted_while_the_broker_is_away(world: World) -> None:
    world.publisher.is_away = True
    answer = world.run(lambda client: client.post("/v1/events", json=EVENT))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.run(lambda client: client.get("/healthz")).status_code == 503


def test_gzip_is_taken_and_a_large_body_is_not(world: World, tmp_path: Path) -> None:
    body = gzip.compress(json.dumps([EVENT]).encode())
    answer = world.run(lambda client: client.post("/v1/events", content=body, headers={"Content-Encoding": "gzip"}))
    assert answer.status_code == 202
    small = World(tmp_path, body_max_bytes=1024)
    assert small.run(lambda client: client.post("/v1/events", content=b" " * 2000)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    assert small.run(lambda client: client.post("/v1/events", content=chunks())).status_code == 413
    bomb = gzip.compress(b" " * 1_000_000)
    answer = small.run(lambda client: client.post("/v1/events", content=bomb, headers={"Content-Encoding": "gzip"}))
    assert answer.status_code == 413


def test_a_batch_with_nothing_good_is_refused_whole(world: World) -> None:
    answer = world.run(lambda client: client.post("/v1/events", json=[{**EVENT, "event_time": "noon"}]))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "$[0].event_time"
    single = world.run(lambda client: client.post("/v1/events", json={**EVENT, "event_time": "noon"}))
    assert single.json()["field"] == "$.event_time"


def test_foreign_events_come_by_their_own_address(world: World) -> None:
    payload = {"client_id": "c", "events": [{"name": "view_item", "params": {"items": [{"item_id": "a"}]}}, {"name": "scroll"}]}
    answer = world.run(lambda client: client.post("/v1/adapters/ga4/mp", json=payload))
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["ignored"]) == (1, 1)


def test_the_newest_page_is_given_with_a_tag(world: World) -> None:
    assert world.run(lambda client: client.get("/v1/pages/v")).status_code == 404
    world.take_page("v", 7)
    answer = world.run(lambda client: client.get("/v1/pages/v"))
    assert answer.json()["sequence"] == 7
    again = world.run(lambda client: client.get("/v1/pages/v", headers={"If-None-Match": answer.headers["etag"]}))
    assert again.status_code == 304


def test_erasing_a_visitor_writes_the_request_and_forgets_the_page_at_once(world: World) -> None:
    world.take_page("v", 7)
    answer = world.run(lambda client: client.delete("/v1/visitors/v"))
    assert answer.status_code == 202
    topic, record, _ = world.publisher.records[0]
    assert (topic, record.key) == ("shop.erasures.v1", b"default|v")
    assert json.loads(record.value or b"")["request_id"] == answer.json()["request_id"]
    assert world.run(lambda client: client.get("/v1/pages/v")).status_code == 404


def test_deleting_an_item_writes_a_tombstone(world: World) -> None:
    assert world.run(lambda client: client.delete("/v1/items/a")).status_code == 202
    assert world.publisher.records[0][:2] == ("shop.catalog.v1", Outgoing(b"default|a", None))


def test_ids_with_slashes_are_ids(world: World) -> None:
    world.take_page("a/b", 3)
    assert world.run(lambda client: client.get("/v1/pages/a%2Fb")).json()["sequence"] == 3
    world.run(lambda client: client.delete("/v1/items/shoes%2F12"))
    assert world.publisher.records[0][1].key == b"default|shoes/12"


def test_a_client_s_trace_travels_with_its_events(world: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    world.run(lambda client: client.post("/v1/events", json=EVENT, headers={"traceparent": trace}))
    world.run(lambda client: client.post("/v1/events", json=EVENT, headers={"traceparent": "nonsense"}))
    assert [headers for _, _, headers in world.publisher.records] == [(("traceparent", trace.encode()),), ()]


def test_an_uploaded_picture_is_drawn_anew_and_served(world: World) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (1500, 700), "red").save(buffer, "PNG")
    answer = world.run(lambda client: client.post("/v1/images", content=buffer.getvalue()))
    assert answer.status_code == 201
    assert answer.json()["uri"].startswith("file:///")
    assert answer.json()["width"] == 1024
    served = world.run(lambda client: client.get(answer.json()["url"]))
    assert served.headers["content-type"] == "image/jpeg"
    refused = world.run(lambda client: client.post("/v1/images", content=b"<svg onload=alert(1)>"))
    assert refused.status_code == 415


@pytest.mark.parametrize("path", ["/images/../run/status.json", "/images/%2e%2e/run/status.json", "/uploads//etc/passwd"])
def test_files_outside_the_served_folders_stay_unseen(world: World, tmp_path: Path, path: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "status.json").write_text("{}")
    (tmp_path / "shop" / "images").mkdir(parents=True)
    (tmp_path / "shop" / "uploads").mkdir(parents=True)
    assert world.run(lambda client: client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/v1/pages/v", "/v1/nope", "/nope", "/healthz", "/v1/ops/summary"])
def test_every_answer_carries_the_security_headers(world: World, path: str) -> None:
    headers = world.run(lambda client: client.get(path)).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_every_rule_has_a_route_and_every_route_below_v1_a_rule(world: World) -> None:
    served = {
        (method, getattr(route, "path", "").replace(":int", "").replace(":path", ""))
        for route in world.app.router.routes
        for method in (getattr(route, "methods", None) or ())
        if method != "HEAD"
    }
    ruled = {(rule.method, rule.template) for rule in RULES}
    assert ruled <= served
    assert {entry for entry in served if entry[1].startswith("/v1/")} <= ruled


def test_the_description_names_every_rule_and_resolves_its_references(world: World) -> None:
    document = world.run(lambda client: client.get("/openapi.json")).json()
    assert {(method.upper(), path) for path, operations in document["paths"].items() for method in operations} == {
        (rule.method, rule.template) for rule in RULES
    }
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
    for example in document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["examples"].values():
        assert world.post("/v1/events", example["value"]).status_code == 202


# ---- keys, rates


def test_without_a_key_nothing_passes_but_the_open_addresses(guarded: World) -> None:
    assert guarded.run(lambda client: client.post("/v1/events", json=EVENT)).status_code == 401
    assert guarded.run(lambda client: client.get("/v1/nope")).status_code == 401
    assert guarded.run(lambda client: client.get("/healthz")).status_code == 200
    assert guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer("wrong"))).status_code == 401


def test_the_key_decides_the_tenant(guarded: World) -> None:
    answer = guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(SECRET)))
    assert answer.status_code == 202
    assert guarded.publisher.records[0][1].key == b"acme|v"
    guarded.take_page("v", 1, tenant="other")
    page = guarded.run(lambda client: client.get("/v1/pages/v?tenant=other", headers=bearer(SECRET)))
    assert page.status_code == 404


def test_a_browser_key_cannot_do_what_the_shop_s_servers_do(guarded: World) -> None:
    assert guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(PUBLIC))).status_code == 202
    for method, path in (("POST", "/v1/catalog"), ("DELETE", "/v1/visitors/v"), ("GET", "/v1/ops/summary")):
        assert guarded.ask(method, path, PUBLIC).status_code == 403
    assert guarded.run(lambda client: client.get("/v1/ops/dead-letters", headers=bearer(SECRET))).status_code == 403
    assert guarded.run(lambda client: client.get("/v1/ops/dead-letters", headers=bearer(OPERATOR))).status_code == 200


# Spellings that Starlette routes to the same endpoint: `$` matches before a last line break, and `{name:path}` is empty too.
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.access > Access.BROWSER], ids=lambda rule: rule.template)
@pytest.mark.parametrize("spell", [lambda path: path + "%0A", lambda path: path.replace("x", ""), lambda path: path + "/"])
def test_no_spelling_of_an_address_opens_more_than_the_rule_says(
    guarded: World, rule: Rule, spell: Callable[[str], str]
) -> None:
    path = spell(re.sub(r"\{\w+\}", "x", rule.template))
    assert guarded.ask(rule.method, path, PUBLIC).status_code in (403, 404)
    assert guarded.publisher.records == []


def test_an_empty_id_is_nobodys(guarded: World) -> None:
    for path in ("/v1/visitors/", "/v1/items/"):
        assert guarded.ask("DELETE", path, OPERATOR).status_code == 422
    assert guarded.publisher.records == []


@pytest.mark.parametrize("path", ["/v1/items?limit=" + "9" * 5000, "/v1/items?limit=0", "/v1/ops/series?minutes=" + "1" * 5000])
def test_a_number_of_the_query_that_is_none_is_refused_by_name(world: World, path: str) -> None:
    answer = world.run(lambda client: client.get(path))
    assert answer.status_code == 422
    assert answer.json()["field"] in path


def test_a_picture_asked_for_before_the_first_is_there_is_not_found(world: World) -> None:
    assert world.run(lambda client: client.get("/uploads/x.jpg")).status_code == 404
    assert world.run(lambda client: client.get("/images/x.jpg")).status_code == 404


def test_a_giant_picture_is_refused_and_a_turned_one_stands_upright(world: World) -> None:
    def upload(content: bytes) -> httpx.Response:
        return world.run(lambda client: client.post("/v1/images", content=content))

    giant = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(giant, "PNG")
    assert upload(giant.getvalue()).status_code == 413
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees to show it
    Image.new("RGB", (60, 30), "red").save(turned, "JPEG", exif=exif)
    assert (upload(turned.getvalue()).json()["width"], upload(turned.getvalue()).json()["height"]) == (30, 60)


def test_items_of_another_tenant_are_shown_only_where_there_are_no_keys(world: World, guarded: World) -> None:
    item = Followed(b"other|s", encode(CatalogItem("s", "Shoe", tenant_id="other")), 0, 0, 1000, ())
    for each in (world, guarded):
        each.app.state.services.catalogue.take_item(item)
        answer = each.run(lambda client: client.get("/v1/items?tenant=other&ids=s", headers=bearer(PUBLIC)))
        assert answer.json()["total"] == (1 if each is world else 0)


def test_only_browser_keys_are_taken_from_the_address(guarded: World) -> None:
    assert guarded.run(lambda client: client.post(f"/v1/events?key={PUBLIC}", json=EVENT)).status_code == 202
    assert guarded.run(lambda client: client.post(f"/v1/events?key={SECRET}", json=EVENT)).status_code == 401


def test_segments_write_key_comes_as_basic_user_name(guarded: World) -> None:
    call = {"type": "page", "messageId": "m", "anonymousId": "v"}
    answer = guarded.run(lambda client: client.post("/v1/adapters/segment", json=call, auth=(PUBLIC, "")))
    assert answer.status_code == 202


def test_a_key_that_is_used_up_is_told_when_to_come_back(guarded: World) -> None:
    batch = [{**EVENT, "event_id": str(number)} for number in range(25)]
    assert guarded.run(lambda client: client.post("/v1/events", json=batch, headers=bearer(PUBLIC))).status_code == 202
    answer = guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(PUBLIC)))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(SECRET))).status_code == 202
    guarded.clock.advance(1000)
    assert guarded.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(PUBLIC))).status_code == 202


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    clock = ManualClock()
    bucket = Bucket(10, clock)
    passed = 0
    for _ in range(1000):
        if bucket.wait_seconds() == 0:
            bucket.pay(1)
            passed += 1
        clock.advance(10)
    assert 118 <= passed <= 121  # 20 at once, then 10 a second for 10 seconds


def test_a_preflight_of_a_listed_site_passes_without_a_key(guarded: World) -> None:
    def ask(origin: str) -> httpx.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return guarded.run(lambda client: client.options("/v1/events", headers=headers))

    assert ask("https://shop.example").headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in ask("https://evil.example").headers


def test_no_key_and_no_visitor_is_ever_logged_or_counted(guarded: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    guarded.publisher.is_away = True
    guarded.run(lambda client: client.post("/v1/events", json={**EVENT, "visitor_id": "vis-1"}, headers=bearer(SECRET)))
    guarded.run(lambda client: client.get(f"/v1/pages/vis-1?key={PUBLIC}"))
    logs = "".join(str(record.__dict__) for record in caplog.records if not record.name.startswith(("httpx", "httpcore")))
    metrics = guarded.run(lambda client: client.get("/metrics")).text
    assert "nothing accepted" in logs
    for secret in (SECRET, PUBLIC, "vis-1"):
        assert secret not in logs
        assert secret not in metrics


@pytest.mark.parametrize(
    "gateway",
    [
        {"host": ELSEWHERE},
        {"api_keys": {"acme": ["short"]}},
        {"api_keys": {"acme": [SECRET]}, "browser_keys": {"acme": [SECRET]}},
        {"keys_file": "/nowhere/keys.json"},
        {"otlp_endpoint": "collector:4318"},
    ],
)
def test_dangerous_settings_refuse_to_start(tmp_path: Path, gateway: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        World(tmp_path, **gateway)


def test_keys_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"api_keys": {"acme": [SECRET]}}))
    world = World(tmp_path, host=ELSEWHERE, keys_file=str(file))
    assert world.run(lambda client: client.post("/v1/events", json=EVENT, headers=bearer(SECRET))).status_code == 202


def test_dead_letters_are_of_the_tenant_of_their_key(guarded: World) -> None:
    letters = guarded.app.state.services.dead_letters
    for offset, key in enumerate((b"acme|v", b"other|v", b"nobody's", None)):
        letters.take(Followed(key, b"{", 0, offset, offset, (("dlq.error.code", b"malformed"),)))
    shown = guarded.ask("GET", "/v1/ops/dead-letters", OPERATOR).json()
    assert (shown["seen"], [letter["offset"] for letter in shown["dead_letters"]]) == (1, [0])
    assert [letter["offset"] for letter in letters.newest(10, None)] == [3, 2, 1, 0]


def test_a_tenants_flood_of_dead_letters_pushes_nobody_elses_out(guarded: World) -> None:
    letters = guarded.app.state.services.dead_letters
    letters.take(Followed(b"acme|v", b"{", 0, 0, 0, ()))
    for offset in range(1, 1000):
        letters.take(Followed(b"other|v", b"{", 0, offset, offset, ()))
    assert guarded.ask("GET", "/v1/ops/dead-letters", OPERATOR).json()["seen"] == 1
    assert len(letters.newest(10_000, "other")) == 200


def test_a_tenant_whose_name_could_be_read_as_another_ones_visitor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"a\|b"):
        World(tmp_path, api_keys={"a|b": [SECRET]})

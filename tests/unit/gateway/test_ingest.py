"""From request bodies to records: batches, stamps, tenants, limits."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from contracts.events import decode_event
from gateway.ingest import Parsed, inflate, parse_events, parse_items
from gateway.problem import Problem

NOW = 1_800_000_000_000


def event(**fields: Any) -> dict[str, Any]:
    return {"event_id": "e", "event_name": "view_item", "event_time": NOW - 500, "visitor_id": "v", **fields}


def parse(body: Any, *, is_tenant_fixed: bool = False, tenant_id: str = "default") -> Parsed:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_events(encoded, batch_max=3, received_at=NOW, tenant_id=tenant_id, is_tenant_fixed=is_tenant_fixed)


def test_a_single_event_an_array_and_an_envelope_are_all_taken() -> None:
    for body, count in ((event(), 1), ([event(), event(event_id="f")], 2), ({"events": [event()]}, 1)):
        parsed = parse(body)
        assert len(parsed.records) == count
        assert parsed.problems == []


def test_the_order_of_the_fields_means_nothing() -> None:
    bought = {"items": [{"item_id": "i"}], **event()}
    assert parse(bought).ids == ["e"]
    assert parse({"items": [], **event()}).ids == ["e"]
    assert parse({"version": 2, "events": [event(), event(event_id="f")]}).ids == ["e", "f"]
    assert parse(event(search_term='an "events" hall')).ids == ["e"]


def test_the_clock_of_the_client_is_corrected_by_when_it_sent() -> None:
    an_hour = 3_600_000
    parsed = parse(event(event_time=NOW - an_hour - 500, sent_at=NOW - an_hour))
    decoded = decode_event(parsed.records[0].value)
    assert decoded.time == NOW - 500
    assert decoded.received_at == NOW


def test_no_event_comes_from_the_future() -> None:
    assert decode_event(parse(event(event_time=NOW + 10_000)).records[0].value).time == NOW
    assert decode_event(parse(event(event_time=NOW, sent_at=NOW - 5_000)).records[0].value).time == NOW


def test_the_key_is_tenant_and_visitor() -> None:
    assert parse(event(visitor_id="v-1")).records[0].key == b"default|v-1"
    assert parse(event(), is_tenant_fixed=True, tenant_id="acme").records[0].key == b"acme|v"


def test_an_event_of_another_tenant_than_the_keys_is_refused() -> None:
    parsed = parse(event(tenant_id="other"), is_tenant_fixed=True, tenant_id="acme")
    assert parsed.records == []
    assert parsed.problems[0]["field"] == "$.tenant_id"


def test_the_good_of_a_batch_is_taken_and_the_bad_named_by_index_and_field() -> None:
    parsed = parse([event(), event(event_name="viewed"), event(items=[{"item_id": "a", "index": -1}])])
    assert parsed.ids == ["e"]
    assert [(problem["index"], problem["field"]) for problem in parsed.problems] == [
        (1, "$[1].event_name"),
        (2, "$[2].items[0].index"),
    ]
    assert "view_item" in parsed.problems[0]["expected"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"7", 400), (b"[1", 400), (b"\xff{", 400), (json.dumps([event()] * 4).encode(), 413)],
)
def test_a_body_that_cannot_be_read_as_a_whole_is_one_problem(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        parse(body)
    assert caught.value.status == status


def test_array_members_that_are_no_objects_are_refused_one_by_one() -> None:
    parsed = parse([1, None, event()])
    assert [problem["index"] for problem in parsed.problems] == [0, 1]
    assert len(parsed.records) == 1


def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    with pytest.raises(Problem) as caught:
        inflate(bomb, "gzip", 100_000)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [(b"plain", "gzip", 400), (gzip.compress(b"{}" * 99)[:-9], "gzip", 400), (b"x", "br", 415)],
)
def test_bad_encodings_are_named(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(Problem) as caught:
        inflate(body, encoding, 1000)
    assert caught.value.status == status


def test_gzip_gives_back_what_went_in() -> None:
    assert inflate(gzip.compress(b'{"a":1}'), "gzip", 7) == b'{"a":1}'


def test_items_get_their_time_and_tenant() -> None:
    body = json.dumps([{"item_id": "a", "title": "A"}, {"title": "no id"}, {"item_id": "b\n", "title": "B"}]).encode()
    parsed = parse_items(body, batch_max=9, received_at=NOW, tenant_id="acme", is_tenant_fixed=True)
    assert [record.key for record in parsed.records] == [b"acme|a"]
    assert json.loads(parsed.records[0].value or b"")["updated_time"] == NOW
    assert [problem["field"] for problem in parsed.problems] == ["$[1].item_id", "$[2].item_id"]

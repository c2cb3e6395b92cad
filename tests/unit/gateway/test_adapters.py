"""Foreign payloads as they really look, and what must come of them (tests/golden/adapters)."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidField
from contracts.events import decode_event
from gateway.adapters.message import Adapter, from_one, moment
from gateway.adapters.registry import ADAPTERS
from gateway.foreign import parse_foreign
from gateway.ingest import Parsed
from gateway.problem import Problem

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "adapters"
CASES = sorted(GOLDEN.glob("*/*.json"))
RECEIVED_AT = 1_766_500_010_000
BY_NAME = {adapter.name: adapter for adapter in ADAPTERS}


def translate(adapter: Adapter, payload: Any, query: dict[str, str] | None = None) -> tuple[Parsed, int]:
    return parse_foreign(
        json.dumps(payload).encode(), adapter, query=query or {}, received_at=RECEIVED_AT, tenant_id="default", batch_max=100
    )


def test_every_format_has_golden_payloads() -> None:
    assert {case.parent.name for case in CASES} == set(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_a_payload_becomes_the_events_that_stand_beside_it(case: Path) -> None:
    golden = json.loads(case.read_text())
    parsed, ignored = translate(BY_NAME[case.parent.name], golden["payload"], golden["query"])
    assert [json.loads(record.value or b"") for record in parsed.records] == golden["events"]
    rejected = [{name: problem[name] for name in ("index", "field", "detail")} for problem in parsed.problems]
    assert rejected == golden["rejected"]
    assert ignored == golden["ignored"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_adapted_events_pass_the_workers_own_check_and_repeat_their_ids(case: Path) -> None:
    golden = json.loads(case.read_text())
    adapter = BY_NAME[case.parent.name]
    first, again = (translate(adapter, golden["payload"], golden["query"])[0] for _ in range(2))
    for record in first.records:
        decode_event(record.value)
    assert first.ids == again.ids
    assert len(set(first.ids)) == len(first.ids)


def test_positions_that_count_from_one_are_moved_and_those_from_zero_are_not() -> None:
    segment, _ = translate(
        BY_NAME["segment"],
        {
            "type": "track",
            "event": "Product Clicked",
            "messageId": "m",
            "anonymousId": "v",
            "properties": {"product_id": "a", "position": 1},
        },
    )
    ga4, _ = translate(
        BY_NAME["ga4_datalayer"],
        {"event": "select_item", "client_id": "v", "ecommerce": {"items": [{"item_id": "a", "index": 0}]}},
    )
    for parsed in (segment, ga4):
        assert decode_event(parsed.records[0].value).items[0].index == 0
    assert from_one(0) == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_766_500_000, 1_766_500_000_000),
        (1_766_500_000_123, 1_766_500_000_123),
        ("1766500000123000", 1_766_500_000_123),
        ("2025-12-23T14:26:40.123Z", 1_766_500_000_123),
        ("2025-12-23T15:26:40.123+01:00", 1_766_500_000_123),
        ("2025-12-23T14:26:40.123", 1_766_500_000_123),
    ],
)
def test_times_are_read_in_every_unit_that_trackers_send(value: object, expected: int) -> None:
    assert moment({"t": value}, "$", "t") == expected


@pytest.mark.parametrize("value", [1.7e308, -1.797693134862316e305, "9" * 30])
def test_a_time_beyond_all_times_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidField, match=r"\$\.t: came .*, expected seconds, milliseconds or microseconds since 1970"):
        moment({"t": value}, "$", "t")


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
@pytest.mark.parametrize("payload", [None, 7, "text", [None], [[]], {"a": {"b": []}}, {"events": 3, "batch": 3, "data": 3}])
def test_nonsense_is_refused_or_ignored_but_never_crashes(adapter: Adapter, payload: object) -> None:
    with contextlib.suppress(Problem):
        parsed, _ = translate(adapter, payload)
        assert parsed.records == []


BAD_CALLS: tuple[dict[str, Any], ...] = (
    {"type": "page", "messageId": "m", "anonymousId": "v", "properties": {"url": "https://a[b/"}},
    {"type": "track", "event": "Product Viewed", "messageId": "m", "anonymousId": "v", "properties": {"price": 10**400}},
)


@pytest.mark.parametrize("bad", BAD_CALLS, ids=["address", "number"])
def test_one_message_of_a_form_that_nobody_expects_leaves_the_others_of_its_batch(bad: dict[str, Any]) -> None:
    good = {"type": "page", "messageId": "g", "anonymousId": "w"}
    parsed, _ = translate(BY_NAME["segment"], {"batch": [bad, good]})
    assert parsed.ids[-1].endswith("g")
    assert len(parsed.ids) + len(parsed.problems) == 2


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_a_payload_of_any_form_is_a_problem_and_never_a_crash(adapter: Adapter) -> None:
    deep = b"[" * 900 + b"]" * 900
    for body in (b'{"product_ids":5}', b'{"data":5}', b"5", b"[5]", b'{"events":[5]}', b'{"a":' + deep + b"}", deep):
        with contextlib.suppress(Problem):
            parsed, _ = parse_foreign(body, adapter, query={}, received_at=RECEIVED_AT, tenant_id="default", batch_max=9)
            assert parsed.records == []


def test_segments_own_correction_of_the_time_is_kept() -> None:
    call = {
        "type": "page",
        "messageId": "m",
        "anonymousId": "v",
        "timestamp": "2025-11-25T10:00:00Z",
        "originalTimestamp": "2025-11-25T10:00:01Z",
        "sentAt": "2025-11-25T10:00:02Z",
        "receivedAt": "2025-11-25T10:00:01Z",
    }
    parsed, _ = translate(BY_NAME["segment"], call)
    event = decode_event(parsed.records[0].value)
    assert event.time == int(datetime(2025, 11, 25, 10, tzinfo=UTC).timestamp() * 1000)


def test_a_visitor_id_that_breaks_our_contract_is_refused_not_cut() -> None:
    parsed, _ = translate(BY_NAME["retail"], {"eventType": "home-page-view", "visitorId": "v" * 129})
    assert parsed.records == []
    assert "visitor_id" in parsed.problems[0]["detail"]

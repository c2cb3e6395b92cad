"""Each limit has an error code of its own; whoever adds a code adds what leads to it."""

from __future__ import annotations

import pytest

from contracts.decoding import MAX_DEPTH, MAX_MESSAGE_BYTES
from contracts.errors import ContractError, contract_codes
from streams.batch import FUTURE_LIMIT_MS, Incoming, read
from tests.fakes import event_bytes

NOW = 1_800_000_000_000
KEY, GOOD = event_bytes("v", 1, NOW)
NO_PAYLOAD = {"contract_error", "tensor_mismatch", "picture_refused"}  # the tree's root, Triton's answers, pictures


def with_field(text: str) -> bytes:
    return GOOD[:-1] + b"," + text.encode() + b"}"


CASES: tuple[tuple[str, str, bytes], ...] = (
    ("malformed", "$", b""),
    ("malformed", "$", b"{"),
    ("malformed", "$", b"\xff\xfe"),
    ("oversized", "$", b"x" * (MAX_MESSAGE_BYTES + 1)),
    ("too_deep", "$", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)),
    ("not_finite", "$", with_field('"value": NaN')),
    ("not_finite", "$", with_field('"value":-Infinity')),
    ("malformed", "$", with_field('"search_term":"NaN, NaN",,')),
    ("unknown_version", "$.schema_version", with_field('"schema_version":"2-0-0"')),
    ("invalid_field", "$.event_name", b'{"event_id":"e"}'),
    ("invalid_field", "$.event_time", event_bytes("v", 1, NOW, event_time="yesterday")[1]),
    ("invalid_field", "$.currency", with_field('"currency":"euro"')),
    ("out_of_length", "$.session_id", with_field(f'"session_id":"{"x" * 129}"')),
    ("out_of_length", "$.session_id", with_field('"session_id":""')),
    ("out_of_length", "$.items", with_field('"items":[' + ",".join(['{"item_id":"a"}'] * 201) + "]")),
    ("out_of_length", "$.properties", with_field('"properties":{' + ",".join(f'"k{n}":1' for n in range(28)) + "}")),
    ("out_of_range", "$.items[0].price", with_field('"items":[{"item_id":"a","price":-1}]')),
    ("out_of_range", "$.value", with_field('"value":1e999')),
    ("out_of_range", "$.event_time", event_bytes("v", 1, NOW, event_time="1969-12-31T23:59:59Z")[1]),
    ("clock_skew", "$.event_time", event_bytes("v", 1, NOW + FUTURE_LIMIT_MS + 1)[1]),
    ("wrong_key", "key", event_bytes("another", 1, NOW)[1]),
)


@pytest.mark.parametrize(("code", "path", "value"), CASES, ids=[f"{code}-{path}" for code, path, _ in CASES])
def test_every_limit_has_its_code_and_names_the_field(code: str, path: str, value: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        read(Incoming(0, 0, KEY, value, NOW))
    assert (caught.value.code, caught.value.path) == (code, path)


def test_every_code_is_led_to() -> None:
    assert {code for code, _, _ in CASES} == set(contract_codes()) - NO_PAYLOAD


def test_what_is_just_within_the_limits_is_an_event() -> None:
    value = event_bytes("v", 1, NOW + FUTURE_LIMIT_MS, session_id="x" * 128, items=[{"item_id": "a"}] * 200)[1]
    assert read(Incoming(0, 0, KEY, value, NOW)).session_id == "x" * 128


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b"}"])
def test_a_payload_of_nothing_but_quotes_is_refused_at_once(end: bytes) -> None:
    """Where each of them was followed to the end of the payload, this took minutes."""
    value = b'{"a":NaN,"' + b'\\"' * (MAX_MESSAGE_BYTES // 2 - 10) + end
    with pytest.raises(ContractError) as caught:
        read(Incoming(0, 0, KEY, value, NOW))
    assert caught.value.code == "not_finite"

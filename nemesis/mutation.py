"""Payloads that are nearly events: good ones, changed at random in ways that break JSON, types, limits and encodings."""

from __future__ import annotations

import random

SEEDS = (
    b'{"event_id":"e1","event_name":"view_item","event_time":1764000000000,"visitor_id":"v1","items":[{"item_id":"p1",'
    b'"price":9.5,"quantity":2}],"currency":"EUR","value":19.0}',
    b'{"event_id":"e2","event_name":"search","event_time":"2026-11-24T12:00:00Z","visitor_id":"v2","search_term":"bl\\u00e9",'
    b'"schema_version":"1-0-0","properties":{"a":"b","c":1.5,"d":true},"consent":{"personalization":false,"ads":false}}',
    b'{"event_id":"e3","event_name":"page_view","event_time":1764000000000,"visitor_id":"v3","user_id":"u","event_value":1.0,'
    b'"page":{"page_type":"category","page_categories":["A > B"]},"context":{"campaign":{"source":"mail"}}}',
)
TOKENS = (
    b"NaN", b"Infinity", b"1e999", b"-1", b"9" * 400, b"null", b"true", b"{}", b"[]", b"[" * 40, b'{"a":' * 40, b'"',
    b"\\ud800", b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b'"2-0-0"',
    b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"',
    b'"' + b"x" * 6000 + b'"', b"\xf0\x9f\x9b\x92",
)  # fmt: skip


def mutated(rng: random.Random, payload: bytes) -> bytes:
    """One to three changes: bytes cut, overwritten, repeated, or a hostile token put in, often where a value stands."""
    value = bytearray(payload)
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(value) + 1)
        stop = min(len(value), start + rng.randint(0, 12))
        match rng.randrange(5):
            case 0:
                value[start:stop] = b""
            case 1:
                value[start:stop] = rng.randbytes(rng.randint(1, 4))
            case 2:
                value[start:start] = rng.choice(TOKENS)
            case 3:  # the value after a colon, so that the JSON often stays well-formed
                colons = [at for at, byte in enumerate(value) if byte == 0x3A]
                if colons:
                    at = rng.choice(colons) + 1
                    end = next((to for to in range(at, len(value)) if value[to] in b",}"), len(value))
                    value[at:end] = rng.choice(TOKENS)
            case _:
                value[start:start] = value[stop : stop + rng.randint(1, 40)]
    return bytes(value)

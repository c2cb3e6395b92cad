"""A visitor's session so far (`shop.sessions.v1`): what the rankers learn from.

The topic holds no visitor id. A key is the visitor's pseudonym and one of `SLOTS` slots, chosen by the session's id: a later
record of a session replaces the earlier one, a returning visitor keeps several sessions, and a fixed number of tombstones
forgets all that was ever published of a visitor.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.decoding import decode
from contracts.errors import InvalidField
from contracts.events import Millis

SLOTS = 8
MAX_TOUCHES = 50
SHORTEST = 2
"""Touches that a session needs before it says anything of what goes together."""

ItemKey = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class SessionSoFar(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest touches of one session.

    `items` are item keys (`contracts.keys.item_key`), oldest first; `touched` counts all touches of the session, also those
    that are no longer among `items`, so that a reader of two records of one session knows what is new. `last_time` is the
    session's newest event time, ms.
    """

    tenant_id: Annotated[str, Meta(min_length=1, max_length=64)]
    items: Annotated[tuple[ItemKey, ...], Meta(min_length=SHORTEST, max_length=MAX_TOUCHES)]
    touched: Annotated[int, Meta(ge=SHORTEST)]
    last_time: Millis = 0


def session_pseudonym(visitor_key: bytes) -> str:
    """BLAKE2b-128 of a visitor's message key, hexadecimal: who knows the id can find it, who reads the topic cannot read it."""
    return hashlib.blake2b(visitor_key, digest_size=16, person=b"session").hexdigest()


def session_key(visitor_key: bytes, session_id: str) -> bytes:
    """Kafka key of one session of a visitor: pseudonym, `|`, slot."""
    return f"{session_pseudonym(visitor_key)}|{zlib.crc32(session_id.encode()) % SLOTS}".encode()


def session_keys(visitor_key: bytes) -> tuple[bytes, ...]:
    """All keys that sessions of a visitor can have."""
    pseudonym = session_pseudonym(visitor_key)
    return tuple(f"{pseudonym}|{slot}".encode() for slot in range(SLOTS))


_DECODER = msgspec.json.Decoder(SessionSoFar)
_ENCODER = msgspec.json.Encoder()


def decode_session(value: bytes) -> SessionSoFar:
    """Decode one record.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    session = decode(_DECODER, value)
    if session.touched < len(session.items):
        message = f"$.touched: {session.touched}, expected at least the {len(session.items)} touches that are listed"
        raise InvalidField(message, path="$.touched")
    return session


def encode_session(session: SessionSoFar) -> bytes:
    """UTF-8 JSON of one record."""
    return _ENCODER.encode(session)

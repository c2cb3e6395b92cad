"""Erasure of a visitor: the request (`shop.erasures.v1`) and the receipt (`shop.erasure_receipts.v1`)."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.decoding import decode
from contracts.events import Millis

Text = Annotated[str, Meta(min_length=1, max_length=128)]


class ErasureRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Asks that a visitor be forgotten; the message key names whom. Times are milliseconds since the epoch, UTC."""

    request_id: Text
    request_time: Millis = 0


class ErasureReceipt(msgspec.Struct, frozen=True):
    """That a visitor was forgotten, without the visitor's id: who knows the id can check `visitor_digest`.

    Attributes:
        request_id: of the request; the message key too.
        tenant_id: the shop.
        visitor_digest: :func:`visitor_digest` of the message key.
        request_time: when it was asked for, ms.
        completed_time: when the broker had acknowledged the last tombstone, ms.
        partition: of the events topic in which the visitor's events lie.
        done_before: the workers had done every event of that partition below this offset.
        removed: what was removed by then, in words.
        remains: where bytes of the visitor still lie on disks, and what removes them.
    """

    request_id: str
    tenant_id: str
    visitor_digest: str
    request_time: int
    completed_time: int
    partition: int
    done_before: int
    removed: tuple[str, ...]
    remains: dict[str, str]


REMOVED = ("session", "event ids", "page", "sessions that the ranker learned from")
REMAINS = {
    "shop.events.v1": "raw events of the last 7 days; retention, or at once `vitrine erase --now`",
    "shop.events.dlq": "broken events of the last 28 days; retention, or at once `vitrine erase --now`",
    "compacted topics": "what the tombstones cover; the next compaction",
}
_REQUESTS = msgspec.json.Decoder(ErasureRequest)
_RECEIPTS = msgspec.json.Decoder(ErasureReceipt)


def visitor_digest(key: bytes) -> str:
    """BLAKE2b-128 of a visitor's message key, hexadecimal."""
    return hashlib.blake2b(key, digest_size=16, person=b"erasure").hexdigest()


def decode_request(value: bytes) -> ErasureRequest:
    """Decode one request.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_REQUESTS, value)


def decode_receipt(value: bytes) -> ErasureReceipt:
    """Decode one receipt.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_RECEIPTS, value)


def encode_erasure(message: ErasureRequest | ErasureReceipt) -> bytes:
    """UTF-8 JSON of a request or a receipt."""
    return msgspec.json.encode(message)

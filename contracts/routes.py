"""The record of `shop.models.v1`: which server answers for visitors, and which one is only asked on the side.

A single record, with `KEY`, in partition `PARTITION`; the newest counts. Workers follow it, operators write it
(docs/rollout.md).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from contracts.decoding import decode

KEY = b"page_ranker"
PARTITION = 0

_Address = Annotated[str, msgspec.Meta(pattern=r"^[^\s/@]+:[0-9]{1,5}$", max_length=260)]


class Endpoint(msgspec.Struct, frozen=True):
    """One server: the model version that it must answer with, and `host:port` of its gRPC."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    address: _Address


class Routes(msgspec.Struct, frozen=True):
    """Who answers.

    Attributes:
        serial: counts the changes; a worker tells the newest that it has carried out.
        live: answers for visitors.
        shadow: is asked with copies of live requests; its answers reach nobody.
        shadow_share: part of the live requests that is copied, 0 to 1.
    """

    serial: int
    live: Endpoint
    shadow: Endpoint | None = None
    shadow_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


_DECODER = msgspec.json.Decoder(Routes)


def decode_routes(value: bytes) -> Routes:
    """Read the record.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_DECODER, value)


def encode_routes(routes: Routes) -> bytes:
    """Inverse of :func:`decode_routes`."""
    return msgspec.json.encode(routes)

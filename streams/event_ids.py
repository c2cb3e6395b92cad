"""Ids of folded events as packed 64-bit digests, newest last: 8 bytes each instead of 37, searched at the speed of memchr.

With n ids of one visitor the chance that a new event is taken for one of them is n / 2^64: below 3e-17 for 512.
"""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 8


def digest(event_id: str) -> bytes:
    """64-bit hash (BLAKE2b) of an event id."""
    return hashlib.blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()


def holds(ids: bytes, wanted: bytes) -> bool:
    """Whether the digest is one of the packed ones; a hit across two of them does not count."""
    place = ids.find(wanted)
    while place > 0 and place % DIGEST_BYTES:
        place = ids.find(wanted, place + 1)
    return place >= 0


def added(ids: bytes, new: bytes, most: int) -> bytes:
    """`ids` with a new digest at the end, the oldest left out beyond `most`."""
    return (ids + new)[-most * DIGEST_BYTES :]

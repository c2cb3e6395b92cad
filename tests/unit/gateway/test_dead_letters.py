"""Previews of dead letters in the gateway's memory: a forgotten visitor's leave it."""

from __future__ import annotations

from typing import Any

from contracts.settings import Settings
from gateway.deadletters import DeadLetters
from gateway.follower import Followed


def letter(visitor: str, offset: int) -> Followed:
    headers = (("dlq.error.code", b"malformed"), ("dlq.error.topic", b"shop.events.v1"))
    return Followed(f"default|{visitor}".encode(), f'{{"visitor_id":"{visitor}",'.encode(), 0, offset, 0, headers)


def test_who_is_forgotten_leaves_the_previews_and_others_stay() -> None:
    publisher: Any = None
    letters = DeadLetters(Settings().kafka, publisher)
    for offset, visitor in enumerate(("v-1", "v-10", "v-1", "w")):
        letters.take(letter(visitor, offset))
    letters.forget(b"default|v-1")
    letters.forget(b"default|nobody")
    assert sorted(shown["offset"] for shown in letters.newest(10, "default")) == [1, 3]

"""Repairing dead letters: what is sent again has an id by which a second replay is recognised."""

from __future__ import annotations

import json

import msgspec
import pytest
from typer.testing import CliRunner

from cli.dlq_commands import _repaired
from cli.main import build
from consumers.dead_letters import DeadLetter
from contracts.errors import ContractError
from contracts.events import decode_event
from tests.fakes import event_bytes

NOW = 1_800_000_000_000
KEY, GOOD = event_bytes("v", 1, NOW)


def letter(value: bytes, offset: int = 7, place: int = 0) -> DeadLetter:
    headers = (("dlq.error.topic", b"shop.events.v1"), ("dlq.error.partition", b"3"), ("dlq.error.offset", b"%d" % offset))
    return DeadLetter(0, place, KEY, value, NOW, headers)


def without(value: bytes, name: str) -> bytes:
    event = msgspec.json.decode(value)
    del event[name]
    return msgspec.json.encode(event)


def test_an_event_without_an_id_gets_the_same_at_every_replay_and_another_than_its_neighbour() -> None:
    lost = without(GOOD, "event_id")
    first, again = (decode_event(_repaired(letter(lost, place=place), None, [])[2]) for place in (0, 5))
    other = decode_event(_repaired(letter(lost, offset=8), None, [])[2])
    assert first.event_id == again.event_id != other.event_id


def test_an_event_keeps_its_id_through_a_repair_and_is_keyed_by_its_visitor() -> None:
    broken = GOOD.replace(b"view_item", b"vu")
    topic, key, value = _repaired(letter(broken), None, ["event_name=view_item"])
    assert (topic, key, decode_event(value).event_id) == ("shop.events.v1", KEY, json.loads(GOOD)["event_id"])


@pytest.mark.parametrize("value", [b"{", b"[1]", b"null", GOOD.replace(b"view_item", b"vu")])
def test_what_is_still_broken_is_not_sent(value: bytes) -> None:
    with pytest.raises(ContractError):
        _repaired(letter(value), None, [])


def test_one_id_for_many_letters_is_refused() -> None:
    said = CliRunner().invoke(build(), ["dlq", "replay", "--code", "invalid_field", "--set", "event_id=e"])
    assert said.exit_code == 2
    assert "duplicates" in said.output

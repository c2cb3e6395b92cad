"""The checker of long runs: it accepts what a right stack leaves behind, and finds each kind of damage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from contracts.settings import SessionSettings
from contracts.topics import DEAD_LETTERS, EVENTS
from nemesis.ledger import Ledger, Tally
from nemesis.topic import Stored
from streams.batch import Incoming, fold
from streams.sessions import SessionState, encode_state
from tests.unit.nemesis.letters import dead_letter_of

SETTINGS = SessionSettings()
KEY = b"default|v1"


def event(offset: int, event_id: str, value: bytes | None = None) -> Stored:
    body = {
        "event_id": event_id,
        "event_name": "view_item",
        "event_time": 1_000_000 + offset,
        "visitor_id": "v1",
        "items": [{"item_id": f"i{offset}"}],
    }
    return Stored(0, offset, KEY, value if value is not None else msgspec.json.encode(body), 1_000_000 + offset, ())


def page(offset: int, sequence: int, **changed: Any) -> Stored:
    body = {
        "source": {"partition": 0, "offset": offset},
        "sequence": sequence,
        "degraded": False,
        "placements": [f"items for {sequence}"],
        "generated_time": 5,
        "expire_time": 6,
        "latency_ms": {},
    }
    return Stored(0, offset, KEY, msgspec.json.encode({**body, **changed}), 0, ())


# Two good events, the second sent twice, and poison.
TRAFFIC = [event(0, "a"), event(1, "b"), event(2, "b"), event(3, "c", b'{"poison"')]
PAGES = [page(0, 1), page(1, 2)]


def letter(offset: int) -> Stored:
    return dead_letter_of(TRAFFIC[offset])


def with_header(letter: Stored, name: str, value: bytes) -> Stored:
    return replace(letter, headers=tuple((key, value if key == name else held) for key, held in letter.headers))


def session(traffic: list[Stored]) -> Stored:
    states: dict[bytes, SessionState] = {}
    for r in traffic:
        batch = fold(
            [Incoming(r.partition, r.offset, r.key, r.value, r.timestamp)],
            states.get,
            SETTINGS,
            events_topic=EVENTS,
            dead_letter_topic=DEAD_LETTERS,
        )
        states |= {key: visit.state for key, visit in batch.visits.items()}
    return Stored(0, 0, KEY, encode_state(states[KEY]), 0, ())


def word(
    pages: list[Stored], letters: list[Stored] | None = None, states: list[Stored] | None = None, ledger: Ledger | None = None
) -> Tally:
    ledger = ledger or Ledger(SETTINGS)
    ledger.take_events(TRAFFIC)
    ledger.take_pages(pages)
    ledger.take_dead_letters([letter(3)] if letters is None else letters)
    ledger.take_changelog([session(TRAFFIC)] if states is None else states)
    return ledger.close()


def test_what_a_right_stack_leaves_is_accepted_and_counted() -> None:
    tally = word([*PAGES, page(1, 2, generated_time=99)])
    assert tally.violations == []
    assert (tally.events, tally.good, tally.duplicates, tally.dead_letters) == (4, 2, 1, 1)
    assert (tally.repeated_pages, tally.repeated_identical, tally.lost) == (1, 1, 0)


def test_a_coalesced_event_is_answered_by_the_newer_page() -> None:
    assert word([page(1, 2)]).violations == []


DAMAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "the last page is lost": ("law 1", {"pages": PAGES[:1]}),
    "a sequence is wrong": ("law 3", {"pages": [page(0, 1), page(1, 3)]}),
    "a duplicate has a page": ("law 3", {"pages": [*PAGES, page(2, 3)]}),
    "a page is another visitor's": ("law 3", {"pages": [PAGES[0], PAGES[1], replace(PAGES[1], key=b"default|v2")]}),
    "a page is of an event that never was": ("law 3", {"pages": [*PAGES, page(17, 3)]}),
    "a dead letter is missing": ("law 4", {"pages": PAGES, "letters": []}),
    "a good event is a dead letter": ("law 4", {"pages": PAGES, "letters": [letter(3), letter(0)]}),
    "a dead letter has another reason": (
        "law 4",
        {"pages": PAGES, "letters": [with_header(letter(3), "dlq.error.code", b"x")]},
    ),
    "a dead letter lost what came": ("law 4", {"pages": PAGES, "letters": [replace(letter(3), value=b"{")]}),
    "a dead letter comes again with other words": (
        "law 4",
        {"pages": PAGES, "letters": [letter(3), with_header(letter(3), "dlq.error.message", b"x")]},
    ),
    "a page comes again with other items": ("law 3", {"pages": [*PAGES, page(1, 2, placements=["others"])]}),
    "a page comes again with other items after a fallback": (
        "law 3",
        {"pages": [*PAGES, page(1, 2, placements=[], degraded=True), page(1, 2, placements=["others"])]},
    ),
    "a session stayed behind": ("law 5", {"pages": PAGES, "states": [session(TRAFFIC[:1])]}),
    "a session is gone": ("law 5", {"pages": PAGES, "states": [replace(session(TRAFFIC), value=None)]}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str) -> None:
    law, topics = DAMAGE[damage]
    tally = word(**topics)
    assert tally.violation_count == 1
    assert tally.violations[0].startswith(law)
    assert tally.lost == (damage == "the last page is lost")


def test_a_repeat_with_other_content_is_told_from_an_identical_one() -> None:
    tally = word([*PAGES, page(1, 2, placements=["others"], degraded=True), page(1, 2)])
    assert (tally.repeated_pages, tally.repeated_identical, tally.violations) == (2, 1, [])
    other_index = word([*PAGES, page(1, 2, placements=["others"], index_version=8)])
    assert (other_index.repeated_pages, other_index.repeated_identical, other_index.violations) == (1, 0, [])


def test_a_hole_in_what_was_read_is_no_word_on_the_stack() -> None:
    with pytest.raises(ValueError, match="expected offset 0"):
        Ledger(SETTINGS).take_events(TRAFFIC[1:])


def test_rounds_go_on_where_the_last_ended() -> None:
    ledger = Ledger(SETTINGS)
    word(PAGES, ledger=ledger)
    more = [event(4, "d"), event(5, "a")]
    ledger.take_events(more)
    ledger.take_pages([page(4, 3)])
    ledger.take_changelog([session([*TRAFFIC, *more])])
    tally = ledger.close()
    assert tally.violations == []
    assert (tally.events, tally.good, tally.duplicates) == (6, 3, 2)

"""The equation of every event, and that what does not add up is found."""

from __future__ import annotations

import msgspec
import pytest

from contracts.settings import Settings
from nemesis.accounting import quantiles, settle
from nemesis.topic import Stored
from tests.fakes import event_bytes
from tests.unit.nemesis.letters import dead_letter_of

SETTINGS = Settings()
NOW = 1_800_000_000_000
KEY = b"default|v"


def events() -> list[Stored]:
    """Two good events, a repeat of the second, a broken one, and a last good one."""
    values = [event_bytes("v", n, NOW)[1] for n in (1, 2, 2)] + [b"{", event_bytes("v", 3, NOW)[1]]
    return [Stored(0, offset, KEY, value, NOW + offset, ()) for offset, value in enumerate(values)]


def page(offset: int, generated: int) -> Stored:
    return Stored(0, offset, KEY, msgspec.json.encode({"source": {"offset": offset}, "generated_time": generated}), NOW, ())


def letter(offset: int) -> Stored:
    return dead_letter_of(events()[offset])


def test_coalesced_events_are_answered_by_the_newer_page_and_everything_adds_up() -> None:
    account = settle(SETTINGS, events(), [page(4, NOW + 40), page(1, NOW + 10)], [letter(3), letter(3)])
    assert account.is_exact
    assert (account.events, account.processed, account.duplicates, account.dead_letters) == (5, 3, 1, 1)
    assert account.waits == {(0, 0): 10, (0, 1): 9, (0, 4): 36}


def test_a_newer_page_that_came_sooner_is_the_one_that_counts() -> None:
    account = settle(SETTINGS, events(), [page(1, NOW + 90), page(4, NOW + 40)], [letter(3)])
    assert account.waits[0, 0] == 40


@pytest.mark.parametrize(
    ("pages", "letters", "said"),
    [
        ([page(1, NOW)], [letter(3)], "no page answers (0, 4)"),
        ([page(4, NOW)], [], "the dead letter of (0, 3) is missing"),
        ([page(4, NOW)], [letter(3), letter(0)], "the dead letter of (0, 0) is there for a good event"),
    ],
)
def test_what_is_lost_or_in_the_wrong_place_is_named(pages: list[Stored], letters: list[Stored], said: str) -> None:
    account = settle(SETTINGS, events(), pages, letters)
    assert not account.is_exact
    assert said in account.violations[0]


def test_quantiles_of_a_few_are_not_told() -> None:
    assert quantiles([1.0] * 99) == {}
    assert quantiles([*range(1, 101)])["max"] == 100

"""The fold: duplicates, late and out-of-order events, expiry, facts, bounded memory."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event, EventItem, Page
from contracts.keys import item_key
from contracts.settings import SessionSettings
from contracts.tensors import EventKind
from streams.sessions import Outcome, SessionState, advance, decode_state, encode_state, encoded, excluded

SETTINGS = SessionSettings()
START = 1_800_000_000_000
NAMES = ("view_item", "add_to_cart", "remove_from_cart", "purchase", "refund", "dismiss_item", "item_impression", "search")


def event(number: int, name: str = "view_item", items: tuple[str, ...] = ("a",), time: int = START, **fields: object) -> Event:
    return Event(
        event_id=f"e{number}",
        event_name=name,  # type: ignore[arg-type]
        event_time=time,
        visitor_id="v",
        items=tuple(EventItem(item_id=item) for item in items),
        **fields,  # type: ignore[arg-type]
    )


def folded(events: list[Event], state: SessionState | None = None) -> SessionState:
    for offset, each in enumerate(events):
        state = advance(state, each, 0, offset, SETTINGS).state
    assert state is not None
    return state


def key(item: str) -> int:
    return item_key("default", item)


events_strategy = st.lists(
    st.builds(
        event,
        st.integers(0, 30),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple),
        st.integers(START - 10_000_000, START + 10_000_000),
    ),
    min_size=1,
    max_size=60,
)


@given(events_strategy)
def test_replaying_any_prefix_changes_nothing(events: list[Event]) -> None:
    state = folded(events)
    for offset, each in enumerate(events):
        step = advance(state, each, 0, offset, SETTINGS)
        assert step.outcome in (Outcome.REPLAYED, Outcome.DUPLICATE)  # a repeat at the end is not behind the fence
        assert step.state is state


@given(events_strategy)
def test_a_state_survives_its_bytes(events: list[Event]) -> None:
    state = folded(events)
    assert decode_state(encode_state(state)) == state


@given(events_strategy)
def test_memory_is_bounded(events: list[Event]) -> None:
    small = SessionSettings(recent_events=10, event_ids=5, set_items=3)
    state = None
    for offset, each in enumerate(events):
        state = advance(state, each, 0, offset, small).state
        state = encoded(state, b"", 1, small)
        assert len(state.recent) <= 10
        assert len(state.event_ids) <= 5
        assert max(len(state.cart), len(state.bought), len(state.dismissed)) <= 3


@given(events_strategy)
def test_what_is_bought_is_not_in_the_cart_and_nothing_is_there_twice(events: list[Event]) -> None:
    state = folded(events)
    assert len(set(state.cart)) == len(state.cart)
    assert len(set(state.bought)) == len(state.bought)


def test_a_duplicate_changes_nothing() -> None:
    state = folded([event(1)])
    step = advance(state, event(1), 0, 1, SETTINGS)
    assert step.outcome is Outcome.DUPLICATE
    assert step.state == state


def test_a_session_ends_after_the_idle_time_of_event_time() -> None:
    state = folded([event(1, "add_to_cart")])
    later = START + 1_800_000
    assert advance(state, event(2, time=later), 0, 1, SETTINGS).state.sequence == 2
    fresh = advance(state, event(2, time=later + 1), 0, 1, SETTINGS).state
    assert (fresh.sequence, fresh.cart) == (1, ())
    assert fresh.session_id != state.session_id


def test_a_new_session_id_keeps_cart_and_purchases_but_not_the_taste() -> None:
    state = folded([event(1, "add_to_cart", session_id="s1"), event(2, "purchase", ("b",), session_id="s1")])
    state = encoded(state, b"\0" * 4, 1, SETTINGS)
    fresh = advance(state, event(3, items=("c",), time=START + 1, session_id="s2"), 0, 2, SETTINGS).state
    assert (fresh.session_id, fresh.sequence) == ("s2", 1)
    assert (fresh.cart, fresh.bought) == ((key("a"),), (key("b"),))
    assert (fresh.recent, fresh.encoder) == ((), b"")


def test_a_straggler_of_the_session_before_does_not_end_the_new_one() -> None:
    state = folded([event(1, session_id="s1"), event(2, session_id="s2", time=START + 5000)])
    assert advance(state, event(3, session_id="s1", time=START + 1000), 0, 2, SETTINGS).state.session_id == "s2"


def test_a_late_event_counts_as_a_fact_but_not_as_taste() -> None:
    state = folded([event(1, time=START)])
    step = advance(state, event(2, "add_to_cart", ("b",), time=START - 1_800_001), 0, 1, SETTINGS)
    assert step.late
    assert step.state.cart == (key("b"),)
    assert step.state.pending == state.pending
    assert step.state.last_time == START


def test_out_of_order_events_are_folded_in_order_of_arrival() -> None:
    state = folded([event(1, items=("a",), time=START + 1000), event(2, items=("b",), time=START)])
    assert state.pending == ((key("a"), EventKind.VIEW), (key("b"), EventKind.VIEW))
    assert state.last_time == START + 1000


def test_cart_purchase_and_dismissal_hide_items_and_the_page_hides_its_own() -> None:
    state = folded(
        [
            event(1, "add_to_cart", ("a", "b")),
            event(2, "remove_from_cart", ("a",)),
            event(3, "purchase", ("c",)),
            event(4, "dismiss_item", ("d",)),
            event(5, "view_item", ("e",), page=Page(page_type="product")),
        ]
    )
    assert set(excluded(state)) == {key("b"), key("c"), key("d"), key("e")}


def test_pending_touches_wait_for_the_ranker_and_then_become_recent() -> None:
    state = folded([event(1, items=("a",)), event(2, items=("b",))])
    assert [k for k, _ in state.pending] == [key("a"), key("b")]
    state = encoded(state, b"\0" * 8, 3, SETTINGS)
    assert (state.pending, state.encoder_version) == ((), 3)
    assert state.ring == (key("b"), key("a"))


def test_an_event_without_a_page_leaves_the_page_as_it_was() -> None:
    state = folded(
        [event(1, "page_view", (), page=Page(page_type="category", page_categories=("A > B",))), event(2, "dismiss_item")]
    )
    assert (state.page_type, state.category) == ("category", "A > B")


def test_the_state_of_a_long_session_is_about_a_kilobyte() -> None:
    state = folded([event(n, items=(f"i{n}",)) for n in range(200)])
    state = encoded(state, b"\0" * 4 * (3 * 64 + 2), 1, SETTINGS)
    assert len(encode_state(state)) < 2500
    assert msgspec.msgpack.decode(encode_state(state))

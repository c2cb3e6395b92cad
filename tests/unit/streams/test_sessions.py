"""The fold: duplicates, late and out-of-order events, expiry, facts, bounded memory."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event, EventItem, Page
from contracts.keys import item_key
from contracts.settings import SessionSettings
from contracts.tensors import EventKind
from streams import event_ids
from streams.event_ids import DIGEST_BYTES
from streams.sessions import Outcome, SessionState, advance, at_rest, decode_state, encode_state, encoded, excluded

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
        assert len(state.event_ids) <= 5 * DIGEST_BYTES
        assert max(len(state.cart), len(state.bought), len(state.dismissed)) <= 3


@given(events_strategy)
def test_nothing_is_in_the_cart_or_bought_twice(events: list[Event]) -> None:
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


def test_the_state_of_a_long_session_is_about_two_kilobytes_and_eight_bytes_for_each_event_id() -> None:
    state = folded([event(n, items=(f"i{n}",)) for n in range(600)])
    state = encoded(state, b"\0" * 4 * (3 * 64 + 2), 1, SETTINGS)
    assert len(state.event_ids) == 8 * SETTINGS.event_ids
    assert len(encode_state(state)) < 1600 + 8 * SETTINGS.event_ids
    assert msgspec.msgpack.decode(encode_state(state))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 2**64 - 1))
def test_a_digest_is_found_where_it_was_put_and_nowhere_else(numbers: list[int], other: int) -> None:
    digests = [number.to_bytes(8, "little") for number in numbers]
    packed = b""
    for each in digests:
        packed = event_ids.added(packed, each, 40)
    assert all(event_ids.holds(packed, each) for each in digests)
    assert event_ids.holds(packed, other.to_bytes(8, "little")) == (other in numbers)


def test_a_digest_that_only_appears_across_two_others_is_not_held() -> None:
    across = b"\2" * 4 + b"\3" * 4
    assert not event_ids.holds(b"\1" * 4 + across + b"\4" * 4, across)
    assert event_ids.holds(b"\1" * 4 + across + b"\4" * 4 + across, across)


DAY = 86_400_000


@pytest.mark.parametrize("was_swept", [False, True], ids=["not yet removed", "removed, ids at rest"])
def test_a_repeated_event_is_recognised_for_a_day_whatever_became_of_its_session(was_swept: bool) -> None:
    state = advance(None, event(1, "add_to_cart"), 0, 0, SETTINGS, START).state
    state = decode_state(encode_state(at_rest(state))) if was_swept else state
    assert advance(state, event(1, "add_to_cart"), 0, 1, SETTINGS, START + DAY).outcome is Outcome.DUPLICATE
    step = advance(state, event(2, time=START + DAY), 0, 1, SETTINGS, START + DAY)
    assert (step.outcome, step.state.sequence, step.state.cart) == (Outcome.PROCESSED, 1, ())
    assert advance(step.state, event(1, "add_to_cart"), 0, 2, SETTINGS, START + DAY).outcome is Outcome.DUPLICATE
    assert advance(state, event(1, "add_to_cart"), 0, 1, SETTINGS, START + DAY + 1).outcome is Outcome.PROCESSED


def test_what_rests_knows_its_place_and_no_fact() -> None:
    state = folded([event(1, "add_to_cart", user_id="u"), event(2, "purchase", ("b",))])
    rest = at_rest(state)
    assert rest.is_at_rest
    assert advance(rest, event(9), 0, 1, SETTINGS).outcome is Outcome.REPLAYED
    assert (rest.cart, rest.bought, rest.user_id, rest.pending, rest.session_id) == ((), (), None, (), "")
    # A late event after the sweep begins a session; it does not go on with the empty one.
    assert advance(rest, event(3, time=START - 5), 0, 2, SETTINGS).state.sequence == 1


@given(events_strategy, st.data())
def test_a_login_merges_the_anonymous_visit_wherever_it_comes_and_however_often(
    events: list[Event], data: st.DataObject
) -> None:
    """The facts and the taste are those of the same events without it; only the person is known afterwards."""
    start = min(each.time for each in events)
    places = data.draw(st.lists(st.integers(0, len(events)), min_size=1, max_size=3))
    merged = list(events)
    for place in sorted(places, reverse=True):
        # As old as the oldest, so that it is never the one that lets the session expire.
        merged.insert(place, event(100, "login", (), start, user_id="u"))
    patient = SessionSettings(idle_seconds=1e6)

    def end(of: list[Event]) -> SessionState:
        state = None
        for offset, each in enumerate(of):
            state = advance(state, each, 0, offset, patient).state
        assert state is not None
        return state

    known, anonymous = end(merged), end(events)
    assert known.user_id == "u"
    for name in ("cart", "bought", "dismissed", "pending"):
        assert getattr(known, name) == getattr(anonymous, name)
    assert known.sequence == anonymous.sequence + 1  # counted once, however often it came


def test_a_login_under_a_new_session_id_goes_on_with_the_anonymous_session() -> None:
    state = folded([event(1, "add_to_cart", session_id="s1"), event(2, items=("b",), session_id="s1")])
    login = event(3, "login", (), START + 10, session_id="s2", user_id="u")
    state = advance(state, login, 0, 2, SETTINGS).state
    assert (state.session_id, state.user_id, state.sequence, state.cart) == ("s2", "u", 3, (key("a"),))
    assert [k for k, _ in state.pending] == [key("a"), key("b")]
    straggler = advance(state, event(4, items=("c",), time=START + 5, session_id="s1"), 0, 3, SETTINGS).state
    assert (straggler.session_id, straggler.pending[-1][0]) == ("s2", key("c"))


def test_another_person_on_the_same_device_inherits_nothing() -> None:
    state = folded([event(1, "add_to_cart", user_id="u"), event(2, "purchase", ("b",), user_id="u")])
    other = advance(state, event(3, "login", (), START + 10, user_id="w"), 0, 2, SETTINGS).state
    assert (other.user_id, other.cart, other.bought, other.pending, other.sequence) == ("w", (), (), (), 1)
    straggler = advance(other, event(4, "add_to_cart", ("c",), START + 5, user_id="u"), 0, 3, SETTINGS)
    assert straggler.outcome is Outcome.PROCESSED
    assert (straggler.state.user_id, straggler.state.cart, straggler.state.pending) == ("w", (), ())


@given(events_strategy, st.integers(-30 * DAY, 0))
def test_a_replay_of_last_month_gives_the_sessions_that_it_gave_live(events: list[Event], shift: int) -> None:
    """Sessions live by event time alone; only the ids count by the broker's clock, which goes on in both."""
    moved = [msgspec.structs.replace(each, event_time=each.time + shift) for each in events]
    live = then = None
    for offset, (now, old) in enumerate(zip(events, moved, strict=True)):
        live = advance(live, now, 0, offset, SETTINGS, START + offset).state
        then = advance(then, old, 0, offset, SETTINGS, START + offset).state
    assert live is not None
    assert then is not None
    back = {"last_time": then.last_time - shift, "started_time": then.started_time - shift}
    assert msgspec.structs.replace(then, **back) == live

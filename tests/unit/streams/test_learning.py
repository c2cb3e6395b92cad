"""Which sessions are published for the rankers to learn from, and that a visitor can be forgotten there."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.errors import BrokerUnavailable, ContractError
from contracts.events import decode_event
from contracts.keys import item_key, message_key
from contracts.sessions import SLOTS, decode_session, encode_session, session_keys
from contracts.settings import SessionSettings
from streams.learning import SessionPublisher, session_record, session_tombstones
from streams.sessions import SessionState, advance, encode_state
from tests.fakes import FakeCluster, FakeTable, event_bytes, keys_of

TOPIC = "sessions"
VISITOR = message_key("default", "anna")
KNOWN = set(keys_of(60))


def state_after(*numbers: int, name: str = "view_item", state: SessionState | None = None) -> SessionState:
    for number in numbers:
        event = decode_event(event_bytes("anna", number, 1_700_000_000_000 + number * 1000, name=name)[1])
        offset = 0 if state is None else state.offset + 1
        state = advance(state, event, 0, offset, SessionSettings()).state
    assert state is not None
    return state


def publisher(cluster: FakeCluster, *, learns: bool = True) -> SessionPublisher:
    return SessionPublisher(cluster, TOPIC, KNOWN.__contains__, learns=learns)


def test_a_session_is_published_with_its_touches_in_order_and_without_its_visitor() -> None:
    record = session_record(TOPIC, VISITOR, state_after(1, 2, 3), KNOWN.__contains__)
    assert record is not None
    assert record.value is not None
    assert record.key in session_keys(VISITOR)
    session = decode_session(record.value)
    assert session.items == tuple(item_key("default", f"i{number}") for number in (1, 2, 3))
    assert (session.tenant_id, session.touched) == ("default", 3)
    assert b"anna" not in record.key + record.value


def test_one_touch_unknown_items_and_what_left_the_cart_teach_nothing() -> None:
    assert session_record(TOPIC, VISITOR, state_after(1), KNOWN.__contains__) is None
    assert session_record(TOPIC, VISITOR, state_after(1, 2), set(keys_of(2)).__contains__) is None
    removed = state_after(5, name="remove_from_cart", state=state_after(1, 2))
    record = session_record(TOPIC, VISITOR, removed, KNOWN.__contains__)
    assert record is not None
    assert decode_session(record.value or b"").touched == 2


def test_touches_that_fell_out_are_still_counted() -> None:
    record = session_record(TOPIC, VISITOR, state_after(*range(70)), KNOWN.__contains__)
    assert record is not None
    session = decode_session(record.value or b"")
    assert (len(session.items), session.touched) == (50, 70)


def test_only_what_changed_is_published_and_a_second_time_only_after_another_change() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        sessions = publisher(cluster)
        table = sessions.noting(FakeTable())
        table.put(VISITOR, encode_state(state_after(1, 2)), 0)
        table.put(VISITOR, encode_state(state_after(1, 2, 3)), 0)
        assert await sessions.publish() == 1
        assert await sessions.publish() == 0
        assert len(decode_session(cluster.of(TOPIC)[0].value or b"").items) == 3

    asyncio.run(story())


def test_erasure_and_withdrawn_consent_write_a_tombstone_for_every_slot_but_expiry_writes_none() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        sessions = publisher(cluster)
        table = sessions.noting(FakeTable())
        for visitor in (b"default|expired", b"default|withdrawn", VISITOR):
            table.put(visitor, encode_state(state_after(1, 2)), 0)
            table.remove(visitor)
        sessions.ended([b"default|expired"])
        await sessions.forget(VISITOR)
        assert [record.key for record in cluster.of(TOPIC)] == list(session_keys(VISITOR))
        await sessions.publish()
        wanted = {*session_keys(VISITOR), *session_keys(b"default|withdrawn")}
        assert {record.key for record in cluster.of(TOPIC)} == wanted
        assert {record.value for record in cluster.of(TOPIC)} == {None}
        assert len(cluster.of(TOPIC)) == 2 * SLOTS

    asyncio.run(story())


def test_a_publication_under_way_cannot_bring_back_whom_an_erasure_forgets() -> None:
    class Slow(FakeCluster):
        async def write(self, records: object) -> None:
            await asyncio.sleep(0.01)
            await super().write(records)  # type: ignore[arg-type]

    async def story() -> None:
        cluster = Slow()
        sessions = publisher(cluster)
        table = sessions.noting(FakeTable())
        table.put(VISITOR, encode_state(state_after(1, 2)), 0)
        under_way = asyncio.create_task(sessions.publish())
        await asyncio.sleep(0)
        table.remove(VISITOR)
        await sessions.forget(VISITOR)
        await under_way
        assert cluster.of(TOPIC)[-1].value is None

    asyncio.run(story())


def test_a_broker_that_is_away_costs_knowledge_but_no_tombstone() -> None:
    class Away(FakeCluster):
        away = True

        async def write(self, records: object) -> None:
            if self.away:
                message = "simulated"
                raise BrokerUnavailable(message)
            await super().write(records)  # type: ignore[arg-type]

    async def story() -> None:
        cluster = Away()
        sessions = publisher(cluster)
        table = sessions.noting(FakeTable())
        table.put(VISITOR, encode_state(state_after(1, 2)), 0)
        table.put(b"default|bob", b"", 0)
        table.remove(b"default|bob")
        assert await sessions.publish() == 0
        cluster.away = False
        await sessions.publish()
        assert [record.key for record in cluster.of(TOPIC)] == list(session_keys(b"default|bob"))

    asyncio.run(story())


def test_without_learning_nothing_is_published_and_keys_that_are_no_sessions_are_left_alone() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        quiet = publisher(cluster, learns=False)
        quiet.noting(FakeTable()).put(VISITOR, encode_state(state_after(1, 2)), 0)
        assert await quiet.publish() == 0
        sessions = publisher(cluster)
        table = sessions.noting(FakeTable())
        table.put(b"\xff" + VISITOR, b"something else", 0)
        table.remove(b"\xff" + VISITOR)
        assert await sessions.publish() == 0
        assert cluster.of(TOPIC) == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "change", [{"items": [1]}, {"items": list(range(51))}, {"touched": 1}, {"items": ["a", "b"]}, {"items": [1, 2**63]}]
)
def test_a_record_that_breaks_the_contract_is_refused(change: dict[str, object]) -> None:
    good = {"tenant_id": "default", "items": [1, 2, 3], "touched": 3}
    assert encode_session(decode_session(msgspec.json.encode(good)))
    with pytest.raises(ContractError):
        decode_session(msgspec.json.encode(good | change))


def test_the_tombstones_are_those_of_every_session_that_a_visitor_can_have() -> None:
    keys = {record.key for record in session_tombstones(TOPIC, VISITOR)}
    for number in range(40):
        state = msgspec.structs.replace(state_after(1, 2), session_id=f"s-{number}")
        record = session_record(TOPIC, VISITOR, state, KNOWN.__contains__)
        assert record is not None
        assert record.key in keys

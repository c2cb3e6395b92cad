"""A worker that stood still longer than its session: what it may not do, and what it cannot spoil."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import faust
import pytest

from contracts.settings import Settings
from streams.faust_store import NewestStore
from streams.lease import Lease
from streams.membership import FaustSource, faust_app
from streams.sessions import SessionState, encode_state
from tests.fakes import ManualClock


def state(offset: int) -> bytes:
    return encode_state(SessionState(3, offset, offset, "s", 0, 0))


@dataclass
class Message:
    value: bytes | None
    partition: int = 3


@dataclass
class Change:
    """One changelog record as Faust hands it over."""

    key: bytes
    value: bytes | None
    message: Message = field(init=False)

    def __post_init__(self) -> None:
        self.message = Message(self.value)


def recovered(*changes: Change) -> dict[bytes, bytes]:
    store = cast("Any", NewestStore.__new__(NewestStore))
    store.data, store._key_partition = {}, {}
    store.apply_changelog_batch(changes, lambda key: key, lambda value: value)
    return dict(store.data)


def test_recovery_keeps_the_newest_state_when_an_old_worker_wrote_last() -> None:
    assert recovered(Change(b"v", state(7)), Change(b"v", state(9)), Change(b"v", state(8))) == {b"v": state(9)}


def test_recovery_forgets_what_has_a_tombstone_and_takes_what_came_after() -> None:
    assert recovered(Change(b"v", state(7)), Change(b"v", None)) == {}
    assert recovered(Change(b"v", state(7)), Change(b"v", None), Change(b"v", state(8))) == {b"v": state(8)}


def test_the_session_table_is_recovered_by_that_store(tmp_path: Any) -> None:
    settings = Settings()
    worker = settings.worker.model_copy(update={"data_dir": tmp_path})
    app = faust_app(settings.model_copy(update={"worker": worker}), "group")
    assert isinstance(app.Table("sessions", key_type=bytes, value_type=bytes).data, NewestStore)


@pytest.mark.parametrize(("stood_still", "holds"), [(2.9, True), (3.1, False), (600.0, False)])
def test_the_lease_ends_when_the_loop_stood_still_for_half_a_session(stood_still: float, *, holds: bool) -> None:
    clock = ManualClock()
    lease = Lease(6.0, clock.monotonic)
    clock.advance(int(stood_still * 1000))
    assert lease.holds() is holds
    assert lease.lapses == (0 if holds else 1)


def test_the_lease_comes_back_when_the_heartbeats_have_had_their_time() -> None:
    clock = ManualClock()
    lease = Lease(6.0, clock.monotonic)
    clock.advance(10_000)
    assert not lease.holds()
    for _ in range(4):
        clock.advance(1_000)
        last = lease.holds()
    assert last


def test_what_was_in_flight_before_a_lapse_is_of_another_generation() -> None:
    @dataclass
    class App:
        consumer_generation_id: int = 4

    @dataclass
    class Channel:
        queue: None = None

        def get_topic_name(self) -> str:
            return "events"

    @dataclass
    class Stream:
        channel: Channel = field(default_factory=Channel)

    clock = ManualClock()
    source = FaustSource(cast("faust.App", App()), Stream(), Lease(6.0, clock.monotonic))
    before = source.generation()
    clock.advance(1_000)
    assert source.generation() == before
    clock.advance(10_000)
    assert source.generation() != before

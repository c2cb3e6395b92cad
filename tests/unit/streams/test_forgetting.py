"""What leaves the session table: expiry, event ids after a day, erasure with its receipt; on the simulated broker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from contracts.erasures import decode_receipt, visitor_digest
from contracts.topics import ERASURE_RECEIPTS, PAGES
from streams.batch import Incoming
from streams.delivery import Delivery
from streams.erasure import Eraser
from streams.forgetting import Forgetting
from streams.sessions import decode_state, ids_key
from tests.fakes import FakeCluster, FakeSource, ManualClock, event_bytes
from tests.unit.streams.test_delivery import delivery, drain

NOW = 1_800_000_000_000
KEY = b"default|v"


def shop(*events: tuple[bytes, bytes]) -> tuple[FakeCluster, Delivery]:
    """A worker that has processed the events."""
    cluster = FakeCluster(partitions=1)
    worker = delivery(cluster, FakeSource(cluster))
    process(cluster, worker, *events)
    return cluster, worker


def process(cluster: FakeCluster, worker: Delivery, *events: tuple[bytes, bytes]) -> None:
    for key, value in events:
        cluster.publish(key, value, NOW)
    asyncio.run(drain(cluster, worker))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def always(_key: bytes, _state: object) -> bool:
    return True


def duplicates(worker: Delivery) -> float:
    return float(worker.metrics.outcomes.labels("duplicate")._value.get())


def test_an_expired_session_leaves_a_tombstone_and_repeated_events_are_known_still_also_after_a_restart() -> None:
    event = event_bytes("v", 1, NOW)
    cluster, worker = shop(event)
    assert run(Forgetting(worker).expire([(KEY, 0)], always)) == [KEY]
    last = [record for record in cluster.of("changelog") if record.key == KEY][-1]
    assert last.value is None
    successor = delivery(cluster, FakeSource(cluster))  # its table is recovered from the changelog
    assert KEY not in dict(cluster.table().values)
    process(cluster, successor, event)
    assert duplicates(successor) == 1
    process(cluster, successor, event_bytes("v", 2, NOW))
    state = decode_state(cluster.table().get(KEY) or b"")
    assert (state.sequence, len(state.event_ids)) == (1, 16)


def test_a_session_that_went_on_meanwhile_is_not_ended() -> None:
    cluster, worker = shop(event_bytes("v", 1, NOW))
    assert run(Forgetting(worker).expire([(KEY, 0)], lambda _key, state: state.sequence > 1)) == []
    assert cluster.table().get(KEY) is not None


def test_event_ids_leave_after_their_time_and_the_oldest_when_there_are_too_many() -> None:
    cluster, worker = shop()
    for number in range(4):
        cluster.publish(*event_bytes(f"v{number}", 1, NOW), NOW + number)
    asyncio.run(drain(cluster, worker))
    forgetting = Forgetting(worker)
    run(forgetting.expire([(b"default|v%d" % number, 0) for number in range(4)], always))
    assert run(forgetting.drop_ids(NOW + 1, most=10)) == 1
    assert run(forgetting.drop_ids(NOW + 1, most=1)) == 2
    assert list(cluster.table().values) == [ids_key(b"default|v3")]


def test_withdrawn_consent_leaves_tombstones_for_session_and_event_ids() -> None:
    cluster, worker = shop(event_bytes("v", 1, NOW))
    run(Forgetting(worker).expire([(KEY, 0)], always))
    process(cluster, worker, event_bytes("v", 2, NOW, consent={"personalization": False, "ads": False}))
    assert cluster.table().values == {}
    assert worker.table.keys() == []


def test_who_never_consented_is_not_in_the_changelog() -> None:
    refused = {"personalization": False, "ads": False}
    cluster, _ = shop(event_bytes("v", 1, NOW, consent=refused), event_bytes("v", 2, NOW, consent=refused))
    assert cluster.of("changelog") == []
    assert len(cluster.of("pages")) >= 1


class Events:
    """`streams.erasure.Positions` on the simulated broker; every look lets the events agent do one."""

    def __init__(self, cluster: FakeCluster, open_until: int = 0) -> None:
        self.cluster, self.looks, self.open_until = cluster, 0, open_until

    async def committed(self, partition: int) -> int:
        self.looks += 1
        return self.cluster.committed[partition] if self.looks > self.open_until else 0

    async def end(self, partition: int) -> int:
        return len(self.cluster.events[partition])


def request(value: bytes | None = b'{"request_id":"r-1","request_time":5}') -> Incoming:
    return Incoming(0, 7, KEY, value, NOW)


def eraser(cluster: FakeCluster, worker: Delivery, events: Events, *, is_ours: bool = True) -> tuple[Eraser, list[bytes]]:
    learned: list[bytes] = []

    async def forget(key: bytes) -> None:
        learned.append(key)

    return Eraser(Forgetting(worker), "", ManualClock(NOW), events, lambda _: is_ours, forget), learned


def test_an_erased_visitor_is_gone_everywhere_and_the_receipt_names_nobody() -> None:
    cluster, worker = shop(event_bytes("v", 1, NOW))
    run(Forgetting(worker).expire([(KEY, 0)], always))
    process(cluster, worker, event_bytes("v", 2, NOW))
    job, learned = eraser(cluster, worker, Events(cluster))
    assert run(job.erase(request()))
    assert cluster.table().values == {}
    assert worker.table.keys() == []
    assert [record.value for record in cluster.of(PAGES)] == [None]
    assert learned == [KEY]
    (receipt,) = cluster.of(ERASURE_RECEIPTS)
    told = decode_receipt(receipt.value or b"")
    assert (told.partition, told.done_before) == (0, 2)
    assert (receipt.key, told.request_time, told.visitor_digest) == (b"r-1", 5, visitor_digest(KEY))
    assert b"|v" not in (receipt.value or b"")
    assert cluster.written[-1] is receipt  # until then a crash repeats the whole


def test_an_erasure_waits_for_the_events_that_came_before_it_and_gives_up_when_the_partition_moves() -> None:
    cluster, worker = shop(event_bytes("v", 1, NOW))
    events = Events(cluster, open_until=2)
    assert run(eraser(cluster, worker, events)[0].erase(request()))
    assert events.looks == 3
    assert not run(eraser(cluster, worker, Events(cluster, 99), is_ours=False)[0].erase(request()))


@pytest.mark.parametrize(("value", "receipts"), [(None, 0), (b"not json", 1)])
def test_a_tombstone_is_no_request_and_an_unreadable_request_is_carried_out(value: bytes | None, receipts: int) -> None:
    cluster, worker = shop(event_bytes("v", 1, NOW))
    job, _ = eraser(cluster, worker, Events(cluster))
    assert run(job.erase(request(value)))
    assert run(job.erase(request(value)))
    made = cluster.of(ERASURE_RECEIPTS)
    assert len({record.key for record in made}) == receipts
    assert all(msgspec.json.decode(record.value or b"")["removed"] for record in made)

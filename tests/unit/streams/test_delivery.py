"""The five rules of delivery on a simulated broker: kills, failing writes and rebalances, against an offline oracle."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from contracts.recommendations import TIME_FIELDS
from contracts.settings import Settings
from contracts.tensors import MAX_BATCH
from monitoring.metrics import WorkerMetrics
from streams.batch import Incoming
from streams.contiguity import Contiguity
from streams.delivery import Delivery, Work
from streams.forgetting import Forgetting
from streams.refresh import Refresher
from streams.sessions import decode_state, ids_key
from tests.fakes import FakeCluster, FakeRanker, FakeSource, ManualClock, event_bytes, keys_of, view_of

VISITORS, EVENTS = 7, 120


def filled_cluster(seed: int) -> FakeCluster:
    """A cluster with events of several visitors, some repeated, some broken."""
    rng = random.Random(seed)
    cluster = FakeCluster(chaos=random.Random(seed + 1))
    clock = ManualClock()
    for number in range(EVENTS):
        key, value = event_bytes(f"v{rng.randrange(VISITORS)}", number, clock.wall_ms())
        cluster.publish(key, b"{" if rng.random() < 0.05 else value, clock.wall_ms())
        if rng.random() < 0.05:
            cluster.publish(key, value, clock.wall_ms())
        clock.advance(1000)
    return cluster


def delivery(cluster: FakeCluster, source: FakeSource, kind: type[Delivery] = Delivery, batch_max: int = 5) -> Delivery:
    """A worker over the cluster, its table recovered from the changelog."""
    settings = Settings()
    settings = settings.model_copy(update={"worker": settings.worker.model_copy(update={"batch_max": batch_max})})
    metrics = WorkerMetrics.create(CollectorRegistry())
    clock = ManualClock(1_800_000_000_000 + EVENTS * 1000)
    refresher = Refresher(FakeRanker(keys_of(20)), view_of(20), clock, settings.session, settings.page, "pages", metrics)
    return kind(source, cluster.table(), cluster, refresher, settings, metrics, clock, "events", "dead")


async def drain(cluster: FakeCluster, worker: Delivery, patience: float = 5.0) -> None:
    """Run until everything is committed."""
    task = asyncio.create_task(worker.run(lambda: False))
    deadline = asyncio.get_running_loop().time() + patience
    try:
        while any(cluster.committed[p] < len(cluster.events[p]) for p in range(cluster.partitions)):
            if task.done():
                await task
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError
            await asyncio.sleep(0.001)
    finally:
        task.cancel()


def content(page: bytes) -> dict[str, object]:
    """A page without its times."""
    decoded: dict[str, object] = msgspec.json.decode(page)
    return {name: value for name, value in decoded.items() if name not in TIME_FIELDS}


def oracle(cluster: FakeCluster) -> tuple[dict[tuple[bytes, int], dict[str, object]], dict[bytes, bytes]]:
    """Pages by (visitor, offset) and final states, made one event at a time without any fault."""
    calm = FakeCluster(events=cluster.events)
    asyncio.run(drain(calm, delivery(calm, FakeSource(calm), batch_max=1)))
    pages = {}
    for record in calm.of("pages"):
        page = content(record.value or b"")
        pages[record.key or b"", page["source"]["offset"]] = page  # type: ignore[index]
    return pages, {key: value for key, value, _ in calm.table().entries()}


def violations(cluster: FakeCluster) -> list[str]:
    """Laws that do not hold for what was written."""
    expected_pages, expected_states = oracle(cluster)
    found = []
    for record in cluster.of("pages"):
        page = content(record.value or b"")
        if page != expected_pages.get((record.key or b"", page["source"]["offset"])):  # type: ignore[index]
            found.append(f"page unlike the oracle's: {record.key!r} {page['source']} {page['sequence']}")
    states = {key: value for key, value, _ in cluster.table().entries()}
    found += [f"state unlike the oracle's: {key!r}" for key in expected_states if states.get(key) != expected_states[key]]
    newest: dict[bytes, int] = defaultdict(lambda: -1)
    for record in cluster.of("pages"):
        newest[record.key or b""] = max(newest[record.key or b""], content(record.value or b"")["source"]["offset"])  # type: ignore[index]
    for key in expected_states:
        last = max(offset for visitor, offset in expected_pages if visitor == key)
        if newest[key] != last:
            found.append(f"no page for the last event of {key!r}")
    broken = {(r.partition, r.offset) for part in cluster.events.values() for r in part if r.value == b"{"}
    dead = {(int(dict(r.headers)["dlq.error.partition"]), int(dict(r.headers)["dlq.error.offset"])) for r in cluster.of("dead")}
    found += [f"dead letter missing: {place}" for place in broken - dead]
    return found


async def storm(cluster: FakeCluster, seed: int, kind: type[Delivery] = Delivery, rebalances: bool = True) -> None:
    """Kill, fail and rebalance at random steps, then let a last worker finish."""
    rng = random.Random(seed)
    for _ in range(12):
        source = FakeSource(cluster)
        cluster.generation += 1
        cluster.fail_rate = rng.choice((0.0, 0.0, 0.05))
        worker = delivery(cluster, source, kind)
        task = asyncio.create_task(worker.run(lambda: False))
        for _ in range(rng.randrange(1, 4)):
            for _ in range(rng.randrange(60)):
                await asyncio.sleep(0)
            if rebalances and rng.random() < 0.5:
                source.rebalance()
            elif rng.random() < 0.3:
                source.skip_next[rng.randrange(cluster.partitions)] = 2
        for running in asyncio.all_tasks() - {asyncio.current_task()}:
            running.cancel()
        await asyncio.gather(task, return_exceptions=True)
    cluster.fail_rate = 0.0
    cluster.generation += 1
    await drain(cluster, delivery(cluster, FakeSource(cluster), kind))


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_or_doubled_through_kills_failures_and_rebalances(seed: int) -> None:
    cluster = filled_cluster(seed)
    asyncio.run(storm(cluster, seed))
    assert violations(cluster) == []


class WithoutContiguity(Delivery):
    """Rule 1 removed: whatever comes is processed."""

    def __post_init__(self) -> None:
        self._contiguity = _Anything(self.source, self.clock.monotonic)


class _Anything(Contiguity):
    async def take(self, records: list[Incoming]) -> list[Incoming]:  # type: ignore[override]
        taken = []
        for incoming in records:
            self._done.setdefault(incoming.partition, await self.source.committed(incoming.partition))
            self._expected[incoming.partition] = incoming.offset + 1
            taken.append(incoming)
        return taken


class WithoutFence(Delivery):
    """Rule 2 removed: the state does not know what it has folded."""

    def state(self, key: bytes):  # type: ignore[no-untyped-def]
        state = super().state(key)
        return state and msgspec.structs.replace(state, offset=-1, event_ids=b"")


class WithoutOwnership(Delivery):
    """Rule 3 removed: a batch is written although the partitions moved while it was ranked."""

    async def _advance(self, records):  # type: ignore[no-untyped-def]
        real = self.source.generation
        before = real()
        self.source.generation = lambda: before  # type: ignore[method-assign]
        try:
            return await super()._advance(records)
        finally:
            self.source.generation = real  # type: ignore[method-assign]


class WithoutOrder(Delivery):
    """Rule 4 removed: events are acknowledged before anything is written."""

    async def _finish(self, work: Work, before: asyncio.Task[None] | None) -> None:
        for incoming in work.incoming:
            self.source.acknowledge(incoming)
        await super()._finish(work, before)


def caught(kind: type[Delivery], seeds: range = range(40)) -> bool:
    """Whether the checker finds what the missing rule breaks, for any of the seeds."""
    for seed in seeds:
        cluster = filled_cluster(seed)
        try:
            asyncio.run(storm(cluster, seed, kind))
        except TimeoutError:
            return True
        if violations(cluster):
            return True
    return False


@pytest.mark.parametrize("kind", [WithoutContiguity, WithoutFence, WithoutOrder])
def test_the_checker_finds_what_a_missing_rule_breaks(kind: type[Delivery]) -> None:
    assert caught(kind)


def test_a_batch_ranked_across_a_rebalance_writes_nothing() -> None:
    """Rule 3: no page, no state, no acknowledgement."""

    async def scenario(kind: type[Delivery]) -> FakeCluster:
        cluster = FakeCluster(partitions=1)
        cluster.publish(*event_bytes("v", 1, 1_800_000_000_000), 1_800_000_000_000)
        source = FakeSource(cluster)
        worker = delivery(cluster, source, kind)
        ranker = worker.refresher.ranker
        original = ranker.rank

        async def rank_while_rebalancing(tensors):  # type: ignore[no-untyped-def]
            cluster.generation += 1
            ranker.rank = original  # type: ignore[method-assign]
            return await original(tensors)

        ranker.rank = rank_while_rebalancing  # type: ignore[method-assign]
        task = asyncio.create_task(worker.run(lambda: False))
        for _ in range(200):  # steps of the event loop are the clock here
            await asyncio.sleep(0)
        task.cancel()
        return cluster

    assert asyncio.run(scenario(Delivery)).written == []
    assert asyncio.run(scenario(WithoutOwnership)).written != []


def test_a_page_does_not_depend_on_what_it_is_batched_with() -> None:
    """Rule 5, in the worker's part: the oracle folds one by one, the worker in batches of many."""
    cluster = filled_cluster(99)
    cluster.chaos = None
    asyncio.run(drain(cluster, delivery(cluster, FakeSource(cluster), batch_max=MAX_BATCH)))
    assert violations(cluster) == []


def test_events_are_conserved() -> None:
    cluster = filled_cluster(3)
    cluster.chaos = None
    worker = delivery(cluster, FakeSource(cluster))
    asyncio.run(drain(cluster, worker))
    registry_values = {
        name: worker.metrics.outcomes.labels(name)._value.get()
        for name in ("processed", "coalesced", "duplicate", "dead_letter")
    }
    assert sum(registry_values.values()) == sum(map(len, cluster.events.values())) == worker.metrics.events._value.get()
    assert all(count > 0 for count in registry_values.values())


def test_a_removed_visitor_is_not_written_again_by_a_batch_in_flight() -> None:
    async def scenario() -> FakeCluster:
        cluster = FakeCluster(partitions=1, chaos=random.Random(1))
        for number in range(30):
            cluster.publish(*event_bytes("v", number, 1_800_000_000_000 + number), 1_800_000_000_000)
        worker = delivery(cluster, FakeSource(cluster))
        task = asyncio.create_task(worker.run(lambda: False))
        while len(cluster.of("changelog")) < 2:  # noqa: ASYNC110 - steps of the event loop are the clock here
            await asyncio.sleep(0)
        before = len(cluster.of("changelog"))
        assert await Forgetting(worker).erase([(b"default|v", 0)])
        states = [record.value for record in cluster.of("changelog")[before:]]
        assert None in states
        later = [decode_state(value).sequence for value in states[states.index(None) + 1 :] if value]
        assert not later or min(later) <= worker.settings.worker.batch_max
        task.cancel()
        return cluster

    asyncio.run(scenario())


def test_a_batch_taken_while_the_one_before_fails_is_not_folded_without_it() -> None:
    """The broker answers where a partition begins only after the batch before has failed."""
    cluster = FakeCluster(partitions=2)
    visitors = {sum(key) % 2: name for name in "ab" for key, _ in [event_bytes(name, 0, 0)]}
    for number in range(12):
        cluster.publish(*event_bytes(visitors[0], number, 1_800_000_000_000 + number), 1_800_000_000_000)
    cluster.publish(*event_bytes(visitors[1], 99, 1_800_000_000_000), 1_800_000_000_000)
    late = cluster.events[1]
    cluster.events[1] = []
    source = FakeSource(cluster)
    worker = delivery(cluster, source)
    original, fails = source.committed, [True]

    async def committed(partition: int) -> int:
        if partition == 1 and fails.pop():
            await worker._abandon(OSError("the write of the batch before failed"))
        return await original(partition)

    async def scenario() -> None:
        await worker._advance(await source.next(4))  # taken, folded, never written
        cluster.events[1] = late
        assert await worker._advance(await source.next(4)) is None
        await drain(cluster, worker)

    source.committed = committed  # type: ignore[method-assign]
    asyncio.run(scenario())
    assert violations(cluster) == []


def test_consent_taken_and_given_again_within_a_batch_leaves_nothing_of_before() -> None:
    cluster = FakeCluster(partitions=1)
    key, _ = event_bytes("v", 0, 0)
    left: list[bytes] = []

    def publish(number: int, consent: object = None) -> None:
        cluster.publish(*event_bytes("v", number, 1_800_000_000_000 + number, consent=consent), 1_800_000_000_000)

    worker = delivery(cluster, FakeSource(cluster))
    remove = worker.table.remove
    worker.table.remove = lambda gone: (left.append(gone), remove(gone))  # type: ignore[assignment,method-assign,func-returns-value]
    publish(1)
    publish(2)
    asyncio.run(drain(cluster, worker))
    publish(3, consent={"personalization": False, "ads": False})
    publish(4, consent={"personalization": True, "ads": False})
    asyncio.run(drain(cluster, worker))
    assert decode_state(worker.table.get(key) or b"").sequence == 1
    assert left == [key, ids_key(key)]
    assert (ids_key(key), None) in [(record.key, record.value) for record in cluster.of("changelog")]

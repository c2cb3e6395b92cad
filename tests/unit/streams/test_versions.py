"""Model versions in the worker: never two encoders in one state, a change between two calls, shadow, recording."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from scipy.stats import spearmanr

from contracts.errors import ConfigurationError, RankerUnavailable
from contracts.routes import Endpoint, Routes, decode_routes, encode_routes
from contracts.settings import Settings
from monitoring.metrics import WorkerMetrics
from monitoring.rollout_metrics import RolloutMetrics
from streams.agreement import histogram, overlap, rank_correlation, stability_index
from streams.batch import Incoming, Visit, fold
from streams.ports import Answer, Tensors
from streams.ranking import Encoder, request
from streams.recording import KEPT, Recorder, batched, read_requests, save_requests
from streams.refresh import Refresher
from streams.routes import RoutedRanker
from streams.sessions import SessionState
from streams.shadow import ROWS, WAITING, Shadow
from tests.fakes import FakeRanker, ManualClock, event_bytes, keys_of, view_of

NOW = 1_800_000_000_000
SETTINGS = Settings()
KEYS = keys_of(30)


@dataclass
class Restless:
    """A ranker of another version whenever the dice say so, also within one batch."""

    rng: random.Random
    versions: list[FakeRanker] = field(default_factory=lambda: [FakeRanker(KEYS, version=n) for n in (1, 2)])
    restlessness: float = 0.3
    now: int = 0

    async def rank(self, tensors: Tensors) -> Answer:
        if self.rng.random() < self.restlessness:
            self.now = 1 - self.now
        return await self.versions[self.now].rank(tensors)


class Worker:
    """One visitor's worker, without delivery."""

    def __init__(self, ranker: object) -> None:
        self.refresher = Refresher(
            ranker,  # type: ignore[arg-type]
            view_of(30),
            ManualClock(NOW),
            SETTINGS.session,
            SETTINGS.page,
            "pages",
            WorkerMetrics.create(CollectorRegistry()),
        )
        self.states: dict[bytes, SessionState | None] = {}
        self.offset = 0

    def take(self, *events: tuple[bytes, bytes]) -> None:
        records = [Incoming(0, self.offset + n, key, value, NOW) for n, (key, value) in enumerate(events)]
        self.offset += len(records)
        batch = fold(records, self.states.get, SETTINGS.session, events_topic="events", dead_letter_topic="dead")
        done = asyncio.run(self.refresher.refresh(batch, NOW / 1000, dict.fromkeys(batch.visits, 0.0)))
        self.states.update({item.key: item.state for item in done})


@pytest.mark.parametrize("seed", range(8))
def test_however_versions_change_a_state_is_that_of_one_encoder_over_all_touches(seed: int) -> None:
    rng = random.Random(seed)
    worker = Worker(Restless(rng))
    alone = {version: Worker(FakeRanker(KEYS, version=version)) for version in (1, 2)}
    seen = set()
    for number in range(40):
        events = [event_bytes(f"v{rng.randrange(4)}", number * 4 + n, NOW) for n in range(rng.randint(1, 3))]
        for each in (worker, *alone.values()):
            each.take(*events)
        for key, state in worker.states.items():
            assert state is not None
            if state.pending:  # no version answered twice: the fallback page, touches wait
                continue
            expected = alone[state.encoder_version].states[key]
            assert expected is not None
            assert state.encoder == expected.encoder
            assert state.recent == expected.recent
            seen.add(state.encoder_version)
    assert seen == {1, 2}


class Door:
    """A server whose answers wait until it is opened."""

    def __init__(self, version: int, *, is_open: bool = True) -> None:
        self.ranker = FakeRanker(KEYS, version=version)
        self.open = asyncio.Event()
        self.closed = False
        if is_open:
            self.open.set()

    async def rank(self, tensors: Tensors) -> Answer:
        await self.open.wait()
        return await self.ranker.rank(tensors)

    async def close(self) -> None:
        self.closed = True


def metrics() -> tuple[RolloutMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return RolloutMetrics.create(registry), registry


def rows_of(count: int, *, consents: bool = True) -> list[Visit]:
    """Visits of that many visitors with a few touches each."""
    extra: dict[str, Any] = {} if consents else {"consent": {"personalization": False, "ads": False}}
    events = [event_bytes(f"visitor-{n % count}", n, NOW, **extra) for n in range(3 * count)]
    records = [Incoming(0, place, key, value, NOW) for place, (key, value) in enumerate(events)]
    none: dict[bytes, SessionState | None] = {}
    batch = fold(records, none.get, SETTINGS.session, events_topic="e", dead_letter_topic="d")
    return list(batch.visits.values())


NOBODY = request([("t", rows_of(1)[0].state)], Encoder())


def test_a_call_under_way_ends_at_the_old_server_and_the_next_goes_to_the_new_one() -> None:
    async def scene() -> tuple[int, int, list[bool], float | None]:
        doors = {"old:1": Door(1, is_open=False), "new:1": Door(2)}
        made, registry = metrics()
        ranker = RoutedRanker("old:1", lambda address, _: doors[address], Shadow(made), made)
        under_way = asyncio.create_task(ranker.rank(NOBODY))
        await asyncio.sleep(0)
        await ranker.apply(Routes(7, Endpoint(2, "new:1")))
        after = await ranker.rank(NOBODY)
        doors["old:1"].open.set()
        before = await under_way
        closed = [door.closed for door in doors.values()]
        return before.model_version, after.model_version, closed, registry.get_sample_value("vitrine_route_serial")

    assert asyncio.run(scene()) == (1, 2, [False, False], 7.0)


def test_a_server_with_another_version_than_the_record_says_never_answers_visitors() -> None:
    async def scene() -> int:
        doors = {"old:1": Door(1), "new:1": Door(3)}
        made, registry = metrics()
        ranker = RoutedRanker("old:1", lambda address, _: doors[address], Shadow(made), made)
        with pytest.raises(RankerUnavailable, match="answers with model 3, expected 2"):
            await ranker.apply(Routes(7, Endpoint(2, "new:1")))
        assert doors["new:1"].closed
        assert registry.get_sample_value("vitrine_route_serial") == 0.0
        return (await ranker.rank(NOBODY)).model_version

    assert asyncio.run(scene()) == 1


def test_a_record_survives_the_topic_and_a_bad_one_names_its_field() -> None:
    routes = Routes(3, Endpoint(2, "127.0.0.1:8011"), Endpoint(1, "triton-blue:8001"), 0.05)
    assert decode_routes(encode_routes(routes)) == routes
    broken = msgspec.json.encode({"serial": 3, "live": {"version": 2, "address": "no port"}})
    with pytest.raises(Exception, match=r"\$\.live\.address"):
        decode_routes(broken)


def test_agreement_is_counted_as_its_definitions_say() -> None:
    rng = np.random.default_rng(5)
    live, shadow = rng.permutation(40).tolist(), rng.permutation(40).tolist()
    assert overlap(live, shadow) == len(set(live[:20]) & set(shadow[:20])) / 20
    places = [shadow.index(item) for item in live]
    found = rank_correlation(live, shadow)
    assert found == pytest.approx(spearmanr(range(40), places).statistic)
    assert rank_correlation([1, 2, 9, 3], [3, 7, 2, 1]) == pytest.approx(-1.0)  # 9 and 7 are in one list only
    assert overlap([], []) == 1.0
    assert overlap([1, 2], []) == 0.0


def test_the_stability_index_tells_shifted_scores_from_another_sample_of_the_same() -> None:
    rng = np.random.default_rng(6)
    scores = rng.beta(1, 20, 6000).astype(np.float32)
    same = stability_index(histogram(scores[:3000]), histogram(scores[3000:]))
    shifted = stability_index(histogram(scores[:3000]), histogram(scores[3000:] * 3))
    assert same < 0.02
    assert shifted > 0.25


def answer_to(visits: list[Visit], version: int = 1) -> Answer:
    rows = [(visit.trigger.tenant_id, visit.state) for visit in visits]
    return asyncio.run(FakeRanker(KEYS, version=version).rank(request(rows, Encoder())))


def test_the_shadow_compares_its_share_and_a_slow_one_costs_the_page_nothing() -> None:
    visits = rows_of(16)
    live = answer_to(visits)

    async def scene(door: Door, rounds: int) -> CollectorRegistry:
        made, registry = metrics()
        shadow = Shadow(made)
        shadow.aim(door, 2, 0.25)
        running = asyncio.create_task(shadow.run())
        for _ in range(rounds):
            shadow.offer(visits, live)
            if door.open.is_set():
                await asyncio.sleep(0.01)
        for _ in range(500 if door.open.is_set() else 1):
            if rows(registry, "compared") + rows(registry, "wrong_version") >= 4 * rounds:
                break
            await asyncio.sleep(0.01)
        running.cancel()
        return registry

    def rows(registry: CollectorRegistry, outcome: str) -> float:
        return registry.get_sample_value("vitrine_shadow_rows_total", {"outcome": outcome}) or 0.0

    quick = asyncio.run(scene(Door(2), 10))
    assert rows(quick, "compared") == 40
    assert quick.get_sample_value("vitrine_shadow_overlap_count") == 40
    assert rows(asyncio.run(scene(Door(2, is_open=False), 30)), "dropped") >= (30 - WAITING - 1) * 4
    assert rows(asyncio.run(scene(Door(5), 10)), "wrong_version") == 40
    assert len(visits) >= ROWS


def test_recorded_requests_hold_numbers_only_are_bounded_and_give_the_answer_again(tmp_path: Path) -> None:
    now = [0.0]
    recorder = Recorder(tmp_path, lambda: now[0])
    visits, refused = rows_of(5), rows_of(1, consents=False)
    for _ in range(KEPT + 40):
        recorder.offer(visits, answer_to(visits[:1]))
        recorder.offer(visits, answer_to(visits[:1]))  # too soon
        now[0] += 1.0
        recorder.offer(refused, answer_to(visits[:1]))
    file = tmp_path / "requests.npz"
    save_requests(file, tuple(recorder._kept))
    found = read_requests(file)
    assert len(found) == KEPT
    with np.load(file, allow_pickle=False) as arrays:
        assert {array.dtype.kind for array in arrays.values()} <= {"i", "f"}
    assert b"visitor" not in file.read_bytes()
    (whole,) = batched(found[:5], 5)
    assert {tuple(row) for row in whole["events"].tolist()} == {
        tuple(key for key, _ in visit.state.pending) for visit in visits
    }
    answers = asyncio.run(FakeRanker(KEYS).rank(whole)).items
    expected = answer_to(visits).items
    assert sorted(map(tuple, answers.tolist())) == sorted(map(tuple, expected.tolist()))
    assert all(one is not other for one, other in pairwise(found))


def test_a_damaged_recording_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "requests.npz").write_bytes(b"PK\x03\x04 nothing of ours")
    with pytest.raises(ConfigurationError, match=r"requests\.npz holds no recorded requests"):
        read_requests(tmp_path / "requests.npz")

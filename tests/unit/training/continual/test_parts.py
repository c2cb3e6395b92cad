"""Parts of the continual learner: clicks in order, sessions, reservoir, drift, growing tables, memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import ConfigurationError
from contracts.events import Consent, Event, EventItem, encode_event
from training.continual.clicks import Click, FileLog, clicks_of
from training.continual.drift import divergence, drift, stability_index
from training.continual.gathering import SessionGatherer
from training.continual.growth import ItemRows, grown
from training.continual.memory import Memory, load, save
from training.continual.reservoir import Reservoir
from training.sessions.encoder import EncoderRecipe, SessionModel

MINUTE = 60_000


def event(name: str, item: str, time: int, *, personal: bool = True, tenant: str = "default") -> Event:
    return Event(
        event_id=f"{name}-{item}-{time}",
        event_name=name,  # type: ignore[arg-type]
        event_time=time,
        visitor_id="v",
        tenant_id=tenant,
        items=(EventItem(item_id=item),),
        consent=Consent(personalization=personal),
    )


def everything(log: FileLog) -> list[Click]:
    found: list[Click] = []
    while (clicks := log.poll()) is not None:
        found.extend(clicks)
    return found


def test_only_looks_are_clicks_and_who_wants_no_profile_teaches_nothing() -> None:
    assert list(clicks_of(event("view_item", "a", 5))) == [Click(5, "default|v", "a")]
    assert not list(clicks_of(event("purchase", "a", 5)))
    assert not list(clicks_of(event("view_item", "a", 5, personal=False)))


def test_a_table_is_read_in_the_order_of_time_and_events_in_theirs(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv.gz"
    table.write_bytes(gzip.compress(b"SessionId\tItemId\tTime\n2\tb\t20.5\n1\ta\t3\n"))
    assert everything(FileLog(table)) == [Click(3000, "1", "a"), Click(20500, "2", "b")]
    lines = tmp_path / "e.jsonl"
    events = [event("view_item", "a", 9), event("view_item", "b", 7), event("view_item", "c", 8, tenant="other")]
    lines.write_bytes(b"\n".join(map(encode_event, events)))
    assert [click.item for click in everything(FileLog(lines, "default"))] == ["a", "b"]


@pytest.mark.parametrize("name", ["none.tsv", "none.jsonl"])
def test_a_missing_log_is_refused_by_the_option_s_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--data: .* does not exist"):
        FileLog(tmp_path / name)


def test_a_session_ends_after_half_an_hour_of_rest_by_the_log_s_own_clock() -> None:
    gatherer = SessionGatherer()
    assert not gatherer.add(Click(0, "a", "x"))
    assert not gatherer.add(Click(10 * MINUTE, "a", "y"))
    assert not gatherer.add(Click(20 * MINUTE, "b", "z"))
    assert gatherer.add(Click(41 * MINUTE, "b", "w")) == [("x", "y")]  # b's click says what time it is
    assert not gatherer.add(Click(45 * MINUTE, "a", "q"))
    assert gatherer.rest() == [("z", "w")]  # a single click is no session


def test_a_long_session_keeps_its_newest_clicks_and_memory_is_bounded() -> None:
    gatherer = SessionGatherer(longest=3, most_open=2)
    for number in range(6):
        gatherer.add(Click(number, "a", str(number)))
    gatherer.add(Click(7, "b", "x"))
    assert gatherer.add(Click(8, "c", "x")) == [("3", "4", "5")]


def test_the_reservoir_keeps_old_and_new_sessions_with_the_same_chance() -> None:
    kept = np.zeros(400)
    for seed in range(60):
        reservoir = Reservoir(20, seed)
        reservoir.add([np.array([number]) for number in range(400)])
        assert len(reservoir) == 20
        kept[[int(session[0]) for session in reservoir.draw(100)]] += 1
    first, last = kept[:200].sum(), kept[200:].sum()
    assert first + last == 60 * 20
    assert abs(first - last) < 4 * np.sqrt(60 * 20)


def test_equal_clicks_do_not_drift_and_others_do() -> None:
    rng = np.random.default_rng(0)
    old = rng.multinomial(20_000, np.full(200, 1 / 200)).astype(np.int64)
    same = drift(old, rng.multinomial(2_000, np.full(200, 1 / 200)).astype(np.int64))
    shifted = old * (old < np.quantile(old, 0.3))
    other = drift(old, shifted)
    assert same.psi < 0.1
    assert other.psi > 0.25
    assert same.js - same.js_by_chance < 0.02
    assert other.js - other.js_by_chance > 0.3
    new = np.zeros(201, np.int64)
    new[200] = 5
    assert drift(np.r_[old, 0], new).new_share == 1.0


def test_drift_measures_by_hand() -> None:
    half = np.array([0.5, 0.5])
    assert stability_index(half, half) == 0.0
    assert stability_index(half, np.array([0.9, 0.1])) == pytest.approx(0.4 * np.log(1.8) - 0.4 * np.log(0.2))
    assert divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="0 new clicks"):
        drift(np.ones(2, np.int64), np.zeros(2, np.int64))


def test_a_grown_model_answers_as_before_for_old_items_and_puts_new_ones_beside_their_neighbours() -> None:
    torch.manual_seed(0)
    recipe = EncoderRecipe(dim=8)
    model = SessionModel(6, recipe).eval()
    larger = grown(model, 8, [np.array([1, 6, 1]), np.array([0, 1])], recipe)
    asked = np.array([[0, 3], [-1, 5]])
    before = model.scores(asked, model.unit_vectors())
    assert torch.allclose(larger.scores(asked, larger.unit_vectors())[:, :6], before, atol=1e-5)
    unit = larger.unit_vectors()
    assert float(unit[6] @ unit[1]) > 0.99
    assert int((unit[6] @ unit[:6].T).argmax()) == 1
    with pytest.raises(ValueError, match="only grows"):
        grown(model, 5, [], recipe)


def test_rows_are_stable_and_belong_to_a_tenant() -> None:
    rows = ItemRows("a")
    assert rows.take(["x", "y", "x"]).tolist() == [0, 1, 0]
    assert rows.find(["y", "nobody"]).tolist() == [1, -1]
    assert ItemRows("b", rows.keys).find(["x"]).tolist() == [-1]


def test_a_memory_comes_back_as_it_was_and_not_for_another_tenant(tmp_path: Path) -> None:
    memory = Memory(ItemRows("a"), [], Reservoir(50))
    sessions = [memory.rows.take([f"i{number}", f"i{number + 1}"]) for number in range(25)]
    memory.fill(sessions)
    assert len(memory.old) == 3
    save(memory, tmp_path)
    again = load(tmp_path, "a", 50)
    assert again is not None
    assert again.rows.keys == memory.rows.keys
    assert [session.tolist() for session in again.old] == [session.tolist() for session in memory.old]
    assert again.reservoir.seen == 22
    assert again.reservoir.counts(26).tolist() == memory.reservoir.counts(26).tolist()
    assert load(tmp_path / "none", "a", 50) is None
    with pytest.raises(ConfigurationError, match="of the tenant 'a', expected 'b'"):
        load(tmp_path, "b", 50)
    (tmp_path / "memory.npz").write_bytes(b"broken")
    with pytest.raises(ConfigurationError, match="not a learner's memory"):
        load(tmp_path, "a", 50)

"""The learner: it gains on new habits, keeps old ones, refuses bad updates, publishes whole folders, and follows a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import ConfigurationError
from contracts.keys import item_key
from fusion import artefact as artefacts
from fusion.artefact import Artefact
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH
from training.continual.clicks import Click
from training.continual.following import Follower, Progress
from training.continual.growth import ItemRows
from training.continual.learner import ContinualRecipe, Learner, Update, known_to
from training.continual.memory import Memory, load
from training.continual.publishing import artefact_of, begin, newest, publish
from training.continual.reservoir import Reservoir
from training.continual.streaming import StreamedEncoder
from training.sessions.data import Ints, Queries, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel
from training.small.tuning import Tuning, tune

ITEMS, DIM = 30, 16


def walks(count: int, step: int, seed: int, items: int = ITEMS, begin_at: int = 0) -> list[Ints]:
    """Sessions that go on by `step`: what comes next is certain."""
    rng = np.random.default_rng(seed)
    return [begin_at + (start + step * np.arange(5)) % items for start in rng.integers(0, items, count)]


def named(sessions: list[Ints]) -> list[tuple[str, ...]]:
    return [tuple(f"i{row}" for row in session) for session in sessions]


@pytest.fixture(scope="module")
def first() -> SessionModel:
    torch.manual_seed(0)
    model = SessionModel(ITEMS, EncoderRecipe(dim=DIM, dropout=0.1))
    tune(model, walks(150, 1, 1), Tuning(12, targets=128, learning_rate=1e-2))
    return model


def learner(model: SessionModel, **changes: object) -> Learner:
    rows = ItemRows()
    rows.take([f"i{row}" for row in range(ITEMS)])
    reservoir = Reservoir(1000)
    reservoir.add(walks(150, 1, 1))
    recipe = ContinualRecipe(sessions=60, fewest=10, epochs=6, learning_rate=5e-3, targets=128, k=3, **changes)  # type: ignore[arg-type]
    return Learner(model, EncoderRecipe(dim=DIM, dropout=0.1), recipe, rows, prefixes_of(walks(40, 1, 2)), reservoir)


def test_new_items_and_habits_are_learned_and_the_old_slice_is_kept(first: SessionModel) -> None:
    """From now on visitors walk through 12 items that nobody knew."""
    mine = learner(first, most_drift=1.0)
    update = mine.add(named(walks(60, 1, 5, items=12, begin_at=ITEMS)), 0)
    assert update is not None
    assert update.published, update.why
    assert update.items == ITEMS + 12
    assert update.newest["recall@3"] > 0.8
    assert update.newest["before"] < 0.1
    assert update.old["recall@3"] >= 0.99 * update.old["before"]
    assert update.drift.new_share == 1.0
    assert len(mine.model.vectors) == ITEMS + 12


def test_without_replay_the_old_is_forgotten_and_the_update_is_not_published(first: SessionModel) -> None:
    mine = learner(first, replay=0.0)
    update = mine.add(named(walks(60, 7, 5)), 0)
    assert update is not None
    assert not update.published
    assert "old slice" in update.why
    assert mine.model is first
    assert mine.reservoir.seen == 150 + 48  # they teach the next one all the same


def test_clicks_unlike_any_before_are_held_back(first: SessionModel) -> None:
    mine = learner(first, most_drift=0.3)
    update = mine.add(named([np.array([3, 3, 3, 3])] * 60), 0)
    assert update is not None
    assert (update.published, update.loss) == (False, [])
    assert "too far" in update.why
    assert mine.reservoir.seen == 150


def test_the_schedule_is_sessions_or_hours_of_event_time(first: SessionModel) -> None:
    mine = learner(first, hours=1.0)
    sessions = named(walks(60, 1, 5))
    assert mine.add(sessions[:5], 0) is None
    assert mine.add(sessions[5:8], 3_600_000) is None  # too few to tell anything
    assert mine.add(sessions[8:12], 3_600_001) is not None
    assert mine.add(sessions[12:20], 3_700_000) is None


def test_frozen_items_stay_as_they_are_to_the_bit(first: SessionModel) -> None:
    mine = learner(first)
    mine.freeze_items = True
    before = first.vectors.detach().clone()
    update = mine.add(named(walks(60, 1, 5)), 0)
    assert update is not None
    assert torch.equal(mine.model.vectors, before)
    assert len(mine.rows) == ITEMS


def test_a_smaller_model_sees_unknown_clicks_and_targets_as_none(first: SessionModel) -> None:
    seen = known_to(first, Queries(np.array([[4, 99, 5], [-1, 99, 2]]), np.array([3, 77])))
    assert seen.items.tolist() == [[-1, 4, 5], [-1, -1, 2]]
    assert seen.targets.tolist() == [3, -1]


def test_a_stream_answers_as_the_whole_prefix_does_also_after_a_change_of_models(first: SessionModel) -> None:
    torch.manual_seed(5)
    other = SessionModel(ITEMS, EncoderRecipe(dim=DIM)).eval()
    stream = StreamedEncoder(first, ITEMS + 2)
    prefix = [3, 8, 3, 1, 9, 4, 4, 2, 7, 6, 5, 11]
    for at, row in enumerate(prefix):
        if at == 7:
            stream.use(other)
        stream.tell("v", row)
        model = first if at < 7 else other
        expected = model.scores(np.array([prefix[: at + 1]]), model.unit_vectors())[0].numpy()
        assert np.allclose(stream.ask("v")[:ITEMS], expected, atol=1e-4)
    assert np.isneginf(stream.ask("v")[ITEMS:]).all()


@pytest.fixture
def base(first: SessionModel) -> Artefact:
    session = SessionConfig(dim=DIM, input_scale=DIM**0.5, dropout=0.1)
    made = artefacts.build("walk", FusionConfig(dim=DIM), session, ScorerConfig(features=WIDTH))
    made.fusion.enabled.copy_(torch.tensor([0.0, 0.0, 1.0]))
    made.session.load_state_dict(first.encoder.state_dict())
    made.keys = np.array([item_key("default", f"i{row}") for row in range(ITEMS)], dtype=np.int64)
    made.vectors = first.vectors.detach().numpy().copy()
    return made


def test_a_published_version_holds_what_was_learned_and_is_written_once(base: Artefact, tmp_path: Path) -> None:
    rows = ItemRows()
    model, _ = begin(base, rows)
    assert newest(tmp_path) is None
    with torch.no_grad():
        model.vectors.add_(1.0)
    folder = publish(artefact_of(base, model, rows, 4, {"note": 1}), tmp_path)
    assert folder == tmp_path / "4"
    assert newest(tmp_path) == 4
    again = artefacts.load(folder)
    assert np.array_equal(again.vectors, model.vectors.detach().numpy())
    assert again.metrics["continual"] == {"note": 1}
    with pytest.raises(ConfigurationError, match="is there already"):
        publish(artefact_of(base, model, rows, 4, {}), tmp_path)
    (tmp_path / ".9.part").mkdir()
    assert newest(tmp_path) == 4


def test_an_artefact_without_vectors_cannot_learn_on(base: Artefact) -> None:
    base.keys, base.vectors = np.zeros(0, np.int64), np.zeros((0, DIM), np.float32)
    with pytest.raises(ConfigurationError, match="no item vectors"):
        begin(base, ItemRows())


class ListLog:
    """Clicks of a list, a few at a time."""

    def __init__(self, clicks: list[Click]) -> None:
        self.clicks, self.commits = clicks, 0

    def poll(self) -> list[Click] | None:
        taken, self.clicks = self.clicks[:200], self.clicks[200:]
        return taken or None

    def commit(self) -> None:
        self.commits += 1


def clicks_of(sessions: list[Ints], start: int) -> list[Click]:
    hour = 3_600_000
    return [
        Click((start + at) * hour + place, f"v{start + at}", f"i{row}")
        for at, session in enumerate(sessions)
        for place, row in enumerate(session)
    ]


def test_a_follower_fills_its_memory_learns_publishes_and_goes_on_after_a_restart(base: Artefact, tmp_path: Path) -> None:
    recipe = ContinualRecipe(sessions=60, hours=1e6, epochs=6, learning_rate=5e-3, targets=128, k=3, most_drift=1.0)
    updates: list[Update] = []
    folders: list[Path] = []

    def tell(_: Progress, update: Update | None) -> None:
        updates.extend([update] if update else [])

    def follower() -> Follower:
        memory = load(tmp_path, "default", 500) or Memory(ItemRows(), [], Reservoir(500))
        version = newest(tmp_path)
        serving = artefacts.load(tmp_path / str(version)) if version else base
        model, encoder = begin(serving, memory.rows)
        mine = Learner(model, encoder, recipe, memory.rows, memory.old_queries, memory.reservoir)
        return Follower(mine, memory, serving, tmp_path, first=100)

    log = ListLog(clicks_of(walks(100, 1, 3), 0) + clicks_of(walks(64, 1, 4, items=12, begin_at=ITEMS), 100))
    follower().follow(log, tell, folders.append)
    assert [update.published for update in updates] == [True]
    assert folders == [tmp_path / "2"]
    assert log.commits == 2
    assert item_key("default", f"i{ITEMS + 3}") in artefacts.load(folders[0]).keys
    later = follower()
    assert len(later.learner.model.vectors) == ITEMS + 12
    later.follow(ListLog(clicks_of(walks(64, 1, 6, items=12, begin_at=ITEMS), 500)), tell, folders.append)
    assert len(updates) == 2
    assert updates[1].newest["before"] > 0.8

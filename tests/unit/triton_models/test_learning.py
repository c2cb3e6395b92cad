"""What a ranker learns from the stream, and the blend that scores with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import ConfigurationError
from contracts.keys import tenant_key
from contracts.sessions import SessionSoFar, encode_session
from contracts.settings import KafkaSettings
from contracts.tensors import Candidate, Context, Info, Voice
from fusion import blend_file, checkpoint
from fusion.blend import FEATURES, Blend
from fusion.neighbours import NeighbourSettings
from fusion.trend import TrendCounters
from stack.addresses import free_address
from tests.unit.triton_models.test_page_ranker import NEAR_X, NEAR_Y, answered, crowd, ranker_of, real_items, request
from tests.unit.triton_models.tiny_model import DIM, RING, SIDE, TENANT, write_tiny_model
from triton_models import learning as learning_module
from triton_models import servable_ranker
from triton_models.learning import Learning, Lesson
from triton_models.metrics import LearningMetrics
from triton_models.servable_ranker import PageRanker
from triton_models.session_follower import SessionFollower

COMPARED = ("state", "items", "scores", "shares", "sources", "voices")
SHOP = "acme"


@pytest.fixture(autouse=True)
def shop_of_the_tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's items belong to the tenant key 7."""
    keys = {SHOP: TENANT}
    for module in (learning_module, servable_ranker):
        monkeypatch.setattr(module, "tenant_key", lambda name: keys.get(name, tenant_key(name)))


def lesson(offset: int, *items: int, key: str = "s", tenant: str = SHOP) -> Lesson:
    return Lesson(offset, key.encode(), SessionSoFar(tenant, tuple(item << 33 for item in items), len(items)))


def weights(**of: float) -> Blend:
    """A blend that is a straight line over the named features."""
    line = np.zeros(len(FEATURES), np.float32)
    for name, weight in of.items():
        line[FEATURES.index(name.replace("_", " "))] = weight
    zeros = np.zeros(len(FEATURES), np.float32)
    one = np.zeros((2, len(FEATURES)), np.float32)
    return Blend(zeros, np.ones(len(FEATURES), np.float32), one, np.zeros(2, np.float32), np.zeros(2, np.float32), line)


def write_blended_model(folder: Path, blend: Blend) -> Path:
    """The tiny model with a blend, and a log in which 105 and 205 go together."""
    write_tiny_model(folder)
    keys = np.array([key << 33 for key in (*NEAR_X, *NEAR_Y)], np.int64)
    sessions = [np.array([5, 15]), np.array([5, 15]), np.array([6, 7])]
    counters = TrendCounters(len(keys), (2.0, 4.0, 8.0))
    counters.add_all(np.concatenate(sessions))
    file = blend_file.of_log(blend, SHOP, keys, sessions, counters, NeighbourSettings())
    manifest = {"version": 3, "dim": DIM, "state_width": DIM + 1, "ring": RING, "image_size": SIDE, "max_tokens": 16}
    checkpoint.save(folder, {**manifest, "blend": file.about()}, {"blend": file.tensors()})
    return folder


@pytest.fixture
def blended(tmp_path: Path) -> PageRanker:
    blend = weights(share_of_the_neighbours=5.0, log_probability_of_the_encoder=0.05)
    return ranker_of(write_blended_model(tmp_path, blend))


def source_of(outputs: dict[str, Any], item: int) -> int | None:
    found = dict(zip(answered(outputs), outputs["sources"][0].tolist(), strict=False))
    return found.get(item)


def test_an_item_that_others_touched_in_the_same_session_comes_up_as_the_neighbours_word(tmp_path: Path) -> None:
    ranker = ranker_of(write_tiny_model(tmp_path))
    before = ranker.rank(request(events=[NEAR_X[0]]))
    assert source_of(before, NEAR_Y[4]) != Candidate.SESSION_NEIGHBOURS
    assert not before["voices"].any()
    assert before["info"][Info.LEARNED_VERSION] == 0
    ranker.learning.apply([lesson(n, NEAR_X[0], NEAR_Y[4], key=f"s{n}") for n in range(5)])
    after = ranker.rank(request(events=[NEAR_X[0]]))
    assert source_of(after, NEAR_Y[4]) == Candidate.SESSION_NEIGHBOURS
    place = answered(after).index(NEAR_Y[4])
    assert place < answered(before).index(NEAR_Y[4])
    assert after["voices"][0, place, Voice.NEIGHBOURS] > 0.5
    assert after["info"][Info.LEARNED_VERSION] > 0


def test_what_is_forgotten_and_what_another_shop_taught_leaves_the_answer_as_it_was(tmp_path: Path) -> None:
    ranker = ranker_of(write_tiny_model(tmp_path))
    before = ranker.rank(request(events=[NEAR_X[0]]))
    ranker.learning.apply([lesson(0, NEAR_X[0], NEAR_Y[4], tenant="other")])
    elsewhere = ranker.rank(request(events=[NEAR_X[0]]))
    ranker.learning.apply([lesson(1, NEAR_X[0], NEAR_Y[4]), Lesson(2, b"s", None)])
    forgotten = ranker.rank(request(events=[NEAR_X[0]]))
    for name in ("items", "scores", "sources", "shares"):
        assert before[name].tobytes() == elsewhere[name].tobytes() == forgotten[name].tobytes(), name
    versions = [outputs["info"][Info.LEARNED_VERSION] for outputs in (before, elsewhere, forgotten)]
    assert len(set(versions)) == 3


def test_the_version_tells_what_was_applied_not_in_which_steps() -> None:
    lessons = [lesson(n, 1, 2 + n, key=f"s{n}") for n in (0, 3, 4)]
    at_once, in_steps, other = Learning(), Learning(), Learning()
    at_once.apply(lessons)
    for one in lessons:
        in_steps.apply([one])
    other.apply(lessons[1:])
    assert at_once.version == in_steps.version != other.version


def test_a_blend_ranks_by_all_sources_and_tells_whose_word_it_was(blended: PageRanker) -> None:
    assert blended.is_blended
    outputs = blended.rank(request(events=[NEAR_X[5]]))
    keys = answered(outputs)
    assert len(keys) == len(set(keys)) == 20
    assert keys.index(NEAR_Y[5]) <= 1  # with 105 itself: both have the votes
    assert source_of(outputs, NEAR_Y[5]) == Candidate.SESSION_NEIGHBOURS
    assert source_of(outputs, NEAR_X[5]) == Candidate.RECENT
    assert source_of(outputs, NEAR_X[4]) == Candidate.ANN_FUSED
    place = keys.index(NEAR_Y[5])
    assert outputs["voices"][0, place].argmax() == Voice.NEIGHBOURS
    assert outputs["scores"][0].sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(outputs["voices"][0, place].sum(), 1.0, rtol=1e-5)


def test_a_blend_honours_exclusions_departments_shops_and_new_visitors(blended: PageRanker) -> None:
    assert NEAR_Y[5] not in answered(blended.rank(request(events=[NEAR_X[5]], exclude=[NEAR_Y[5]])))
    assert sorted(answered(blended.rank(request(events=[NEAR_X[5]], category=2)))) == list(NEAR_Y)
    assert answered(blended.rank(request(events=[NEAR_X[5]], tenant=8))) == []
    assert set(blended.rank(request())["sources"][0, :20].tolist()) == {Candidate.POPULAR}


def test_what_the_log_taught_is_learned_on_from_the_stream(blended: PageRanker) -> None:
    blended.learning.apply([lesson(n, NEAR_X[5], NEAR_Y[8], key=f"s{n}") for n in range(20)])
    keys = answered(blended.rank(request(events=[NEAR_X[5]])))
    assert keys.index(NEAR_Y[8]) < keys.index(NEAR_Y[5])
    blended.learning.clear()  # the topic was made anew
    again = answered(blended.rank(request(events=[NEAR_X[5]])))
    assert again.index(NEAR_Y[5]) < again.index(NEAR_Y[8])
    assert blended.learning.version == 0


def test_with_a_blend_too_a_row_never_depends_on_its_batch_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    blend = weights(share_of_the_neighbours=5.0)
    size = len(FEATURES)
    for name, shape in {"hidden": (32, size), "hidden_bias": (32,), "out": (32,), "line": (size,)}.items():
        setattr(blend, name, rng.standard_normal(shape).astype(np.float32))
    ranker = PageRanker.open(write_blended_model(tmp_path, blend))
    ranker.items.upsert(real_items_of(DIM))
    for offset in range(300):
        ranker.learning.apply([lesson(offset, *rng.integers(1, 400, 6).tolist(), key=f"s{offset}")])
    inputs = crowd(ranker, 48)
    inputs["context"][::5, Context.TENANT_KEY] = 8
    whole = ranker.rank(inputs)
    assert (whole["sources"] == Candidate.SESSION_NEIGHBOURS).any()
    for rows in (np.array([3]), np.array([10]), *(rng.permutation(48)[:size] for size in (2, 5, 16, 31, 47))):
        part = ranker.rank({name: array[rows] for name, array in inputs.items()})
        for name in COMPARED:
            assert part[name].tobytes() == whole[name][rows].tobytes(), f"{name} in a batch of {len(rows)}"


def real_items_of(dim: int) -> list[Any]:
    rng = np.random.default_rng(4)
    made = []
    for row in real_items()[:400]:
        vector = rng.standard_normal(dim).astype(np.float32)
        vector /= np.linalg.norm(vector)
        made.append(
            row._replace(fused=vector, text=np.zeros_like(vector), image=np.zeros_like(vector), weights=(0.0, 0.0, 1.0))
        )
    return made


def test_a_blend_of_other_features_is_refused_in_words(tmp_path: Path) -> None:
    folder = write_blended_model(tmp_path, weights())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["blend"]["features"][0] = "something else"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigurationError, match="trained on the features"):
        PageRanker.open(folder)


class Log:
    """What the thread's `poll` would hand over."""

    def __init__(self, offset: int, value: bytes | None) -> None:
        self.key, self.value, self.offset = b"s", value, offset


def test_records_are_learned_in_order_and_broken_ones_are_counted() -> None:
    learning, registry = Learning(), CollectorRegistry()
    settings = KafkaSettings(bootstrap_servers=free_address())
    follower = SessionFollower(settings, "sessions", learning, 10, LearningMetrics.create(registry))
    good = encode_session(SessionSoFar(SHOP, (1, 2), 2))
    for record in (Log(0, good), Log(1, b"{broken"), Log(2, good), Log(3, None)):
        found = follower._lesson(record)
        follower._waiting += [found] if found is not None else []
    follower._learn()
    assert learning.sessions == 0

    def count(outcome: str) -> float | None:
        return registry.get_sample_value("vitrine_learned_records_total", {"outcome": outcome})

    assert [count(outcome) for outcome in ("learned", "forgotten", "malformed")] == [2, 1, 1]
    learning.clear()
    learning.apply([found for n in range(3) if (found := follower._lesson(Log(n, good))) is not None])
    assert learning.sessions == 1

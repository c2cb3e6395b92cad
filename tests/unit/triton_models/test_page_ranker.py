"""What `page_ranker` answers on a model whose right answer is visible by eye, and its bits on the real networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contracts.errors import TensorMismatch
from contracts.tensors import MAX_ANSWERS, PAGE_RANKER_OUTPUTS, RING, Candidate, Context, EventKind, Info
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH
from tests.unit.triton_models.tiny_model import DIM, TENANT, item, write_tiny_model
from triton_models.candidates import pick_new
from triton_models.export import GRAPHS, write_graph
from triton_models.items import ItemRow
from triton_models.servable_ranker import PageRanker, probe

Arrays = dict[str, NDArray[Any]]
X, Y, Z = (np.eye(DIM, dtype=np.float32)[axis] for axis in range(3))
NEAR_X = range(100, 110)
NEAR_Y = range(200, 210)
COMPARED = ("state", "items", "scores", "shares", "sources")


def ranker_of(folder: Path) -> PageRanker:
    ranker = PageRanker.open(folder)
    near = [(NEAR_X, X, 1), (NEAR_Y, Y, 2)]
    for keys, axis, category in near:
        for place, key in enumerate(keys):
            ranker.items.upsert([item(key << 33, axis + 0.05 * (place + 1) * Z, category=category, popularity=place)], 12)
    return ranker


@pytest.fixture
def ranker(tmp_path: Path) -> PageRanker:
    return ranker_of(write_tiny_model(tmp_path))


def request(**columns: Any) -> Arrays:
    """One row of a visitor of `TENANT`; keys are given without their shift."""
    context = np.zeros((1, len(Context)), np.int64)
    context[0, Context.TENANT_KEY] = columns.get("tenant", TENANT)
    context[0, Context.CATEGORY_KEY] = columns.get("category", 0)
    context[0, Context.ANCHOR_ITEM] = columns.get("anchor", 0) << 33

    def keys(name: str, width: int) -> NDArray[np.int64]:
        row = np.zeros((1, max(width, len(columns.get(name, ())))), np.int64)
        row[0, : len(columns.get(name, ()))] = np.array(columns.get(name, ()), np.int64) << 33
        return row

    events = keys("events", 1)
    return {
        "state": columns.get("state", np.zeros((1, DIM + 1), np.float32)),
        "ring": keys("ring", RING),
        "events": events,
        "kinds": np.full(events.shape, EventKind.VIEW, np.int32),
        "exclude": keys("exclude", 1),
        "context": context,
    }


def answered(outputs: Arrays, row: int = 0) -> list[int]:
    return [key >> 33 for key in outputs["items"][row].tolist() if key]


def test_the_answer_follows_the_last_click(ranker: PageRanker) -> None:
    first = ranker.rank(request(events=[NEAR_X[0]]))
    assert set(answered(first)[:7]) <= set(NEAR_X)
    then = ranker.rank(request(state=first["state"], ring=[NEAR_X[0]], events=[NEAR_Y[0]]))
    assert set(answered(then)[:7]) <= set(NEAR_Y)
    assert all(first["scores"][0][:9] >= first["scores"][0][1:10])


def test_events_are_stepped_in_order_as_if_they_had_come_one_by_one(ranker: PageRanker) -> None:
    together = ranker.rank(request(events=[NEAR_X[0], NEAR_Y[3], NEAR_X[5]]))
    state = np.zeros((1, DIM + 1), np.float32)
    ring: list[int] = []
    for key in (NEAR_X[0], NEAR_Y[3], NEAR_X[5]):
        alone = ranker.rank(request(state=state, ring=ring, events=[key]))
        state, ring = alone["state"], [key, *ring]
    for name in COMPARED:
        assert together[name].tobytes() == alone[name].tobytes(), name


def test_unknown_items_and_padding_change_nothing(ranker: PageRanker) -> None:
    plain = ranker.rank(request(events=[NEAR_X[0]]))
    padded = ranker.rank(request(events=[999, NEAR_X[0], 0, 998], ring=[997]))
    for name in COMPARED:
        assert plain[name].tobytes() == padded[name].tobytes(), name


def test_what_was_touched_may_be_answered_and_is_marked(ranker: PageRanker) -> None:
    outputs = ranker.rank(request(events=[NEAR_X[4]]))
    sources = dict(zip(answered(outputs), outputs["sources"][0].tolist(), strict=False))
    assert sources.pop(NEAR_X[4]) == Candidate.RECENT
    assert Candidate.RECENT not in sources.values()
    assert sources[NEAR_X[5]] == Candidate.ANN_FUSED


def test_exclusions_are_honoured_for_known_and_new_visitors(ranker: PageRanker) -> None:
    hidden = [NEAR_X[0], NEAR_X[9], NEAR_Y[9]]
    for columns in ({"events": [NEAR_X[0]]}, {}):
        keys = answered(ranker.rank(request(exclude=hidden, **columns)))
        assert len(keys) == 17
        assert not set(hidden) & set(keys)


def test_no_item_twice_and_zeros_after_the_last(ranker: PageRanker) -> None:
    for columns in ({"events": [NEAR_X[0], NEAR_X[0]]}, {}):
        outputs = ranker.rank(request(**columns))
        keys = answered(outputs)
        assert len(keys) == len(set(keys)) == 20
        assert outputs["items"].shape == (1, MAX_ANSWERS)
        for name in ("items", "scores", "shares", "sources"):
            assert not outputs[name][0][20:].any()


def test_a_new_visitor_gets_the_popular_of_each_department_in_turn(ranker: PageRanker) -> None:
    outputs = ranker.rank(request())
    assert answered(outputs)[:4] == [NEAR_X[9], NEAR_Y[9], NEAR_X[8], NEAR_Y[8]]
    assert set(outputs["sources"][0][:20].tolist()) == {Candidate.POPULAR}
    assert not outputs["state"].any()


def test_a_page_of_a_department_holds_nothing_else(ranker: PageRanker) -> None:
    for columns in ({"events": [NEAR_X[0]]}, {}):
        assert sorted(answered(ranker.rank(request(category=2, **columns)))) == list(NEAR_Y)


def test_a_page_of_a_product_does_not_recommend_it(ranker: PageRanker) -> None:
    keys = answered(ranker.rank(request(events=[NEAR_X[0]], anchor=NEAR_X[0])))
    assert NEAR_X[0] not in keys
    assert len(keys) == 19


def test_another_tenant_gets_nothing_of_ours(ranker: PageRanker) -> None:
    assert answered(ranker.rank(request(tenant=8, events=[NEAR_X[0]]))) == []


def test_what_is_out_of_stock_still_tells_what_the_visitor_likes(ranker: PageRanker) -> None:
    ranker.items.upsert([item(NEAR_X[0] << 33, X, eligible=False)])
    keys = answered(ranker.rank(request(events=[NEAR_X[0]])))
    assert NEAR_X[0] not in keys
    assert set(keys[:7]) <= set(NEAR_X)


def test_every_new_product_is_reached_by_some_session_and_by_the_same_again(ranker: PageRanker) -> None:
    new = [item((300 + number) << 33, -X - Y + 0.01 * number * Z, behaviour=False) for number in range(40)]
    popular = [item((400 + number) << 33, X + 0.001 * number * Y, popularity=99) for number in range(200)]
    ranker.items.upsert([*new, *popular])
    seen: set[int] = set()
    for number in range(120):
        columns = {"events": [NEAR_X[0]], "state": np.full((1, DIM + 1), number / 1000, np.float32)}
        outputs = ranker.rank(request(**columns))
        sources = outputs["sources"][0].tolist()
        explored = {key for key, source in zip(answered(outputs), sources, strict=False) if source == Candidate.EXPLORATION}
        assert sources.index(Candidate.EXPLORATION) == 7
        assert len(explored) == 3
        seen |= explored
        assert ranker.rank(request(**columns))["items"].tobytes() == outputs["items"].tobytes()
    assert seen == set(range(300, 340))


def test_the_same_seed_picks_the_same_new_items_and_never_one_twice() -> None:
    cold = np.arange(10)
    for seed in (0, 7, 2**32 - 1, 12345678):
        picked = pick_new(cold, seed)
        assert len(set(picked.tolist())) == 3
        assert pick_new(cold, seed).tolist() == picked.tolist()
    assert pick_new(cold[:2], 5).tolist() == [0, 1]


def test_shares_add_up_to_one_and_name_the_modality_that_matched(ranker: PageRanker) -> None:
    ranker.items.upsert([item(500 << 33, X + 0.5 * Y, behaviour=False)])
    outputs = ranker.rank(request(events=[NEAR_X[0]]))
    keys = answered(outputs)
    assert np.allclose(outputs["shares"][0][: len(keys)].sum(axis=1), 1, atol=1e-5)
    assert outputs["shares"][0][keys.index(500)].tolist() == pytest.approx([1, 0, 0], abs=1e-5)
    assert outputs["shares"][0][keys.index(NEAR_X[1])].tolist() == pytest.approx([0, 0, 1], abs=1e-5)


def test_the_answer_names_model_index_and_sizes(ranker: PageRanker) -> None:
    outputs = ranker.rank(request())
    assert outputs["info"][[Info.MODEL_VERSION, Info.INDEX_VERSION, Info.INDEX_SIZE, Info.STATE_WIDTH]].tolist() == [
        3,
        12,
        20,
        DIM + 1,
    ]
    assert (outputs["timing"] > 0).all()
    for spec in PAGE_RANKER_OUTPUTS:
        spec.check(outputs[spec.name])


@pytest.mark.parametrize("width", [0, 1, 99])
def test_a_state_of_another_width_counts_as_none(ranker: PageRanker, width: int) -> None:
    outputs = ranker.rank(request(state=np.ones((1, width), np.float32), events=[NEAR_X[0]]))
    assert outputs["state"].tobytes() == ranker.rank(request(events=[NEAR_X[0]]))["state"].tobytes()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ring": np.zeros((1, 9), np.int64)}, "tensor ring: got"),
        ({"kinds": np.zeros((1, 1), np.int64)}, "tensor kinds: got int64"),
        ({"kinds": np.zeros((1, 4), np.int32)}, "expected the shape of events"),
        ({"exclude": np.zeros((2, 1), np.int64)}, "expected the same number"),
        ({"state": None}, "tensor state: missing"),
    ],
)
def test_wrong_tensors_are_refused_by_name(ranker: PageRanker, changes: Arrays, text: str) -> None:
    inputs = {**request(events=[NEAR_X[0]]), **changes}
    with pytest.raises(TensorMismatch, match=text):
        ranker.rank({name: array for name, array in inputs.items() if array is not None})


def test_an_empty_catalogue_and_a_probe_are_answered(tmp_path: Path) -> None:
    ranker = PageRanker.open(write_tiny_model(tmp_path))
    ranker.warm(range(1, 4))
    assert not ranker.rank(probe(3))["items"].any()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> PageRanker:
    """The real networks, untrained, over 2,000 items with text, picture and behaviour."""
    folder = write_tiny_model(tmp_path_factory.mktemp("real"))
    torch.manual_seed(3)
    made = artefacts.build("test", FusionConfig(dim=48), SessionConfig(dim=48, input_scale=7.0), ScorerConfig(features=WIDTH))
    for name in ("step", "query", "rank"):
        write_graph(GRAPHS[name](made), folder / f"{name}.onnx")
    manifest = '{"version": 1, "dim": 48, "state_width": 146, "ring": 10, "image_size": 64}'
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    ranker = PageRanker.open(folder)
    ranker.items.upsert(real_items())
    return ranker


def real_items() -> list[ItemRow]:
    vectors = np.random.default_rng(4).standard_normal((2000, 48))
    return [
        item((number + 1) << 33, vector, category=number % 9, popularity=number % 11, behaviour=number % 4 > 0)
        for number, vector in enumerate(vectors)
    ]


def crowd(ranker: PageRanker, batch: int) -> Arrays:
    """Visitors of all kinds: new and old, with few and many events and exclusions, on different pages."""
    rng = np.random.default_rng(6)
    count = len(ranker.items)

    def keys(width: int, share: float) -> NDArray[np.int64]:
        drawn = rng.integers(1, count + 1, (batch, width)) << 33
        return np.where(rng.random((batch, width)) < share, drawn, 0)

    events = np.where(rng.random((batch, 1)) < 0.8, keys(5, 0.7), 0)
    state = rng.standard_normal((batch, ranker.manifest.state_width)).astype(np.float32)
    state[:, -2:] = np.abs(state[:, -2:])
    context = np.zeros((batch, len(Context)), np.int64)
    context[:, Context.TENANT_KEY] = TENANT
    context[:, Context.CATEGORY_KEY] = np.where(rng.random(batch) < 0.3, rng.integers(0, 9, batch), 0)
    return {
        "state": state,
        "ring": np.where(rng.random((batch, 1)) < 0.8, keys(RING, 0.8), 0),
        "events": events,
        "kinds": rng.integers(1, len(EventKind), events.shape).astype(np.int32),
        "exclude": keys(30, 0.5),
        "context": context,
    }


def test_a_row_never_depends_on_its_batch_bit_for_bit(real: PageRanker) -> None:
    inputs = crowd(real, 64)
    whole = real.rank(inputs)
    rng = np.random.default_rng(7)
    compositions = [np.array([row]) for row in range(0, 64, 5)]
    compositions += [rng.permutation(64)[:size] for size in (2, 3, 4, 5, 8, 13, 16, 24, 31, 33, 48, 63, 64)]
    for rows in compositions:
        part = real.rank({name: array[rows] for name, array in inputs.items()})
        for name in COMPARED:
            assert part[name].tobytes() == whole[name][rows].tobytes(), f"{name} in a batch of {len(rows)}"


def test_the_order_in_which_items_came_changes_no_bit(real: PageRanker) -> None:
    inputs = crowd(real, 16)
    before = real.rank(inputs)
    items = real_items()
    real.items.remove([row.key for row in items])
    real.items.upsert([items[row] for row in np.random.default_rng(8).permutation(len(items))])
    after = real.rank(inputs)
    for name in COMPARED:
        assert after[name].tobytes() == before[name].tobytes(), name

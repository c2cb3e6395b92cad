"""The blend that is benchmarked is the blend that streams: the trained side and the served side say the same of a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.keys import tenant_key
from contracts.tensors import RING, Context, EventKind
from fusion import artefact as artefacts
from fusion.blend import FEATURES, Blend
from fusion.blend_features import blend_features
from fusion.features import ItemFacts
from training.sessions.blending import Sources, candidates
from training.sessions.data import Dataset, pad, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel
from training.sessions.serving import serve, served
from triton_models.export import GRAPHS, write_graph
from triton_models.items import ItemRow
from triton_models.servable_ranker import PageRanker

ITEMS, SHOP = 60, "acme"


def random_blend() -> Blend:
    rng = np.random.default_rng(2)
    size = len(FEATURES)
    shapes = {"mean": (size,), "hidden": (32, size), "hidden_bias": (32,), "out": (32,), "line": (size,)}
    arrays = {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    return Blend(scale=np.full(size, 1.5, np.float32), **arrays)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Sources, Blend, PageRanker]:
    """An untrained encoder with what a small log teaches, and the ranker that was exported from it."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(1)
    sessions = [rng.integers(0, ITEMS, rng.integers(2, 14)) for _ in range(80)]
    queries = pad([rng.integers(0, ITEMS, length) for length in (1, 2, 3, 5, 9, 10, 11, 16)], [0] * 8)
    data = Dataset("log", np.arange(100, 100 + ITEMS), sessions, sessions, queries, queries, mask_seen=False)
    torch.manual_seed(0)
    model = SessionModel(ITEMS, EncoderRecipe(dim=16))
    with torch.no_grad():
        model.encoder.pointer_bias.copy_(torch.linspace(2.0, -1.0, model.encoder.config.ring))
    sources = Sources.learn(model, sessions, ITEMS)
    made = served("log", data, SHOP, sources, random_blend())
    artefacts.save(made, folder)
    for name in ("step", "query", "rank"):
        write_graph(GRAPHS[name](made), folder / f"{name}.onnx")
    return data, sources, random_blend(), ranker_of(folder, made.keys, made.vectors)


def ranker_of(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> PageRanker:
    ranker = PageRanker.open(folder)
    nothing = np.zeros(vectors.shape[1], np.float32)
    facts = ItemFacts(1, 1, 1.0, 0.0, 0.0, 0.0)
    rows = zip(keys.tolist(), vectors, strict=True)
    ranker.items.upsert(
        [ItemRow(key, tenant_key(SHOP), vector, nothing, nothing, (0.0, 0.0, 1.0), facts, True) for key, vector in rows]
    )
    return ranker


def test_the_served_scores_are_those_of_the_benchmark_after_every_prefix(
    both: tuple[Dataset, Sources, Blend, PageRanker],
) -> None:
    data, sources, blend, ranker = both
    offline = candidates(sources, data.test, sources.model.unit_vectors(), mask_seen=False)
    keys = ranker.items.columns.keys
    for row, prefix in enumerate(data.test.items):
        events = keys[prefix[prefix >= 0]][None]  # the rows of the items are those of the log
        context = np.zeros((1, len(Context)), np.int64)
        context[0, Context.TENANT_KEY] = tenant_key(SHOP)
        inputs = {
            "state": np.zeros((1, 0), np.float32),
            "ring": np.zeros((1, RING), np.int64),
            "events": events,
            "kinds": np.full(events.shape, EventKind.CART, np.int32),
            "exclude": np.zeros((1, 1), np.int64),
            "context": context,
        }
        assert ranker._blended is not None
        with ranker.items.lock, ranker.learning.lock:
            sessions = ranker._advance(inputs)
            found, _, said = ranker._blended.opinions(sessions, ranker._pages(sessions, inputs))
        scores = blend.score(blend_features(said))
        ours = {int(item): float(score) for item, score in zip(found[0], scores[0], strict=True) if item >= 0}
        theirs = blend.score(offline.features)[row]
        wanted = {int(item): float(score) for item, score in zip(offline.items[row], theirs, strict=True) if item >= 0}
        assert ours.keys() == wanted.keys() == set(range(ITEMS))
        np.testing.assert_allclose([ours[item] for item in wanted], list(wanted.values()), atol=1e-5, rtol=1e-5)


def test_a_finished_training_becomes_an_artefact_that_loads_again_with_a_new_number_each_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    sessions = [rng.integers(0, 20, 4) for _ in range(40)]
    queries = prefixes_of(sessions[-8:])
    data = Dataset("log", np.arange(20), sessions[:-8], sessions, queries, queries, mask_seen=False)
    recipe = EncoderRecipe(dim=16)
    training = tmp_path / "training"
    training.mkdir()
    for name in ("fit.pt", "final.pt"):
        torch.save(SessionModel(20, recipe).state_dict(), training / name)
    out = tmp_path / "my-shop"
    first, second = (serve(data, training, recipe, SHOP, out) for _ in range(2))
    assert (first["version"], second["version"]) == (1, 2)
    loaded = artefacts.load(out)
    assert loaded.blend is not None
    assert loaded.blend.tenant == SHOP
    learned = loaded.blend.learned(most=30)
    assert (len(learned), learned.items) == (30, 20)
    np.testing.assert_allclose(np.linalg.norm(loaded.vectors, axis=1), 1.0, rtol=1e-5)

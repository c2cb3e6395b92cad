"""The blend of fused encoder and neighbours: its candidates, and that rare items are kept level with the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.fusion.blending import FEATURES, Candidates, Sources, fit, places_for_rare, reserved, scored
from training.fusion.codes import Histories
from training.fusion.histories import by_count
from training.fusion.model import FusedSessions
from training.fusion.recipe import FusedRecipe
from training.sessions.data import Dataset, Queries, pad


@pytest.fixture
def log() -> Histories:
    """Walks around a circle of 20 items."""
    rng = np.random.default_rng(0)
    walks = [(start + np.arange(5)) % 20 for start in rng.integers(0, 20, 200)]
    queries = pad([walk[:-1] for walk in walks[:50]], [int(walk[-1]) for walk in walks[:50]])
    fit = [walk[:-1] for walk in walks]
    codes = np.stack((np.arange(20) // 5, np.arange(20) % 5), axis=1)
    data = Dataset("circle", np.arange(20), fit, fit, queries, queries, mask_seen=True)
    return Histories(data, codes, codes[:, ::-1].copy(), np.zeros(20, bool))


def test_candidates_are_of_both_sources_each_once_and_never_what_was_seen(log: Histories) -> None:
    torch.manual_seed(0)
    sources = Sources(log, FusedSessions(log, FusedRecipe(dim=8, code_width=8)))
    made = sources.collect(log.data.validation, batch=7)
    assert made.features.shape == (*made.items.shape, len(FEATURES))
    assert np.isfinite(made.features).all()
    for row, prefix in zip(made.items, log.data.validation.items, strict=True):
        kept = row[row >= 0]
        assert len(set(kept.tolist())) == len(kept) == 16
        assert not set(kept.tolist()) & set(prefix.tolist())
    seen = made.features[..., FEATURES.index("log times seen")]
    assert np.array_equal(
        seen[0, made.items[0] >= 0], np.log1p(log.counts)[made.items[0][made.items[0] >= 0]].astype(np.float32)
    )
    alone = sources.collect(Queries(log.data.validation.items[9:10], log.data.validation.targets[9:10]))
    assert sorted(alone.items[0].tolist()) == sorted(made.items[9].tolist())


def made_up(rng: np.random.Generator, queries: int) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Forty candidates of which the last is rare, and targets that are rare once in forty times.

    The neighbours name the rare one whenever it is right and, mostly, when it is not; the likeliest order puts it behind
    the twelve popular ones of which one is right otherwise.
    """
    is_rare = rng.random(queries) < 0.025
    features = np.zeros((queries, 40, len(FEATURES)), np.float32)
    features[:, :, FEATURES.index("log probability of the encoder")] = np.where(
        np.arange(40) < 12, 1.0, -4.0
    ) - 0.01 * np.arange(40)
    near = FEATURES.index("score of the neighbours")
    features[:, :, near] = np.log(1e-2)
    named = is_rare | (rng.random(queries) < 0.7)
    features[named, 39, near] = 0.5
    counts = np.where(np.arange(40) < 39, 200, 1)
    features[:, :, FEATURES.index("log times seen")] = np.log1p(counts)
    targets = np.where(is_rare, 39, rng.integers(0, 12, queries))
    return Candidates(np.tile(np.arange(40), (queries, 1)), features), targets, counts


def test_as_many_places_are_reserved_as_rare_items_need_to_be_level_with_the_neighbours() -> None:
    made, targets, counts = made_up(np.random.default_rng(1), 1000)
    blend = fit(made, targets, epochs=6)
    places, tried = places_for_rare(made, blend, targets, counts)
    assert places == 1
    assert tried[0]["rare"]["recall@10"] < 0.5
    assert tried[1]["rare"]["recall@10"] == tried[1]["neighbours"]["recall@10"] == 1.0
    found, before = reserved(made, blend, targets, counts, 1), scored(made, blend, targets)
    assert (found[targets == 39] == 10).all()
    assert np.array_equal(found[before < 10], before[before < 10])
    assert np.array_equal(reserved(made, blend, targets, counts, 0), before)


def test_quality_is_told_by_how_often_training_saw_the_target(log: Histories) -> None:
    count = len(log.data.test)
    rows = by_count(log, {"always": np.ones(count), "never": np.full(count, np.inf)})
    assert sum(row["targets"] for row in rows) == count
    assert all(row["always"] == 1.0 and row["never"] == 0.0 for row in rows)
    assert {row["seen"] for row in rows} <= {"10–29", "30–99"}

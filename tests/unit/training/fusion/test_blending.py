"""The blend of fused encoder and neighbours: its candidates, and that rare items are kept level with the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.fusion.blending import FEATURES, Candidates, Sources, choose, scored
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
    features[:, :, FEATURES.index("log probability of the encoder")] = np.where(np.arange(40) < 12, 1.0, -4.0)
    features[:, :, FEATURES.index("score of the neighbours")] = -2.0
    named = is_rare | (rng.random(queries) < 0.7)
    features[named, 39, FEATURES.index("score of the neighbours")] = 0.5
    counts = np.where(np.arange(40) < 39, 200, 1)
    features[:, :, FEATURES.index("log times seen")] = np.log1p(counts)
    targets = np.where(is_rare, 39, rng.integers(0, 12, queries))
    return Candidates(np.tile(np.arange(40), (queries, 1)), features), targets, counts


def test_rare_targets_weigh_more_only_as_far_as_rare_items_need_it() -> None:
    made, targets, counts = made_up(np.random.default_rng(1), 1000)
    blend, tried = choose(made, targets, counts)
    assert tried[0]["power"] == 0.0
    assert tried[0]["rare"]["recall@10"] < 0.5 < tried[0]["rare by the neighbours"]["recall@10"]
    assert len(tried) > 1
    assert tried[-1]["rare"]["recall@10"] >= tried[-1]["rare by the neighbours"]["recall@10"]
    found = scored(made, blend, targets)
    assert (found[targets == 39] <= 10).all()
    assert (found <= 13).mean() > 0.95


def test_quality_is_told_by_how_often_training_saw_the_target(log: Histories) -> None:
    count = len(log.data.test)
    rows = by_count(log, {"always": np.ones(count), "never": np.full(count, np.inf)})
    assert sum(row["targets"] for row in rows) == count
    assert all(row["always"] == 1.0 and row["never"] == 0.0 for row in rows)
    assert {row["seen"] for row in rows} <= {"10–29", "30–99"}

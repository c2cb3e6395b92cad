"""The blend of fused encoder and neighbours: its candidates, and that rare items are kept level with the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.fusion.blending import FEATURES, Candidates, Sources, fit, scores
from training.fusion.codes import Histories
from training.fusion.histories import by_count
from training.fusion.model import FusedSessions
from training.fusion.rare import lift_for_rare, lifted
from training.fusion.recipe import FusedRecipe
from training.sessions.data import Dataset, Queries, pad
from training.sessions.rules import candidate_ranks


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


def test_rare_items_are_lifted_just_so_far_that_they_are_level_with_the_neighbours() -> None:
    made, targets, counts = made_up(np.random.default_rng(1), 1000)
    lift = lift_for_rare(made, targets, counts)
    before, after = lift.tried[0], lift.tried[-1]
    assert before["rare"]["recall@10"] < 0.5
    assert after["rare"]["recall@10"] == after["neighbours"]["recall@10"] == 1.0
    assert all(one["rare"]["recall@10"] < 1.0 for one in lift.tried[:-1]), "no lift that would have done was left out"
    assert [one["nats"] for one in lift.tried] == pytest.approx([0.1 * number for number in range(len(lift.tried))])
    blend = fit(made, targets, epochs=6)
    plain = scores(made, blend)
    moved = candidate_ranks(made.items, lifted(made, plain, counts, lift.nats), targets)
    still = candidate_ranks(made.items, lifted(made, plain, counts, 0.0), targets)
    assert (moved[targets == 39] <= 10).mean() > 0.9
    assert np.array_equal(still, candidate_ranks(made.items, plain, targets))
    assert (moved[targets < 39] <= still[targets < 39] + 1).all(), "one rare item can push each other one place down"


def test_a_blend_is_the_mean_of_its_networks() -> None:
    made, targets, _ = made_up(np.random.default_rng(2), 300)
    both = fit(made, targets, hidden=4, epochs=2, seed=1, networks=2)
    alone = [fit(made, targets, hidden=4, epochs=2, seed=seed, networks=1) for seed in (2, 3)]
    mean = (scores(made, alone[0]) + scores(made, alone[1])) / 2
    assert scores(made, both) == pytest.approx(mean, abs=1e-5)


def test_quality_is_told_by_how_often_training_saw_the_target(log: Histories) -> None:
    count = len(log.data.test)
    rows = by_count(log, {"always": np.ones(count), "never": np.full(count, np.inf)})
    assert sum(row["targets"] for row in rows) == count
    assert all(row["always"] == 1.0 and row["never"] == 0.0 for row in rows)
    assert {row["seen"] for row in rows} <= {"10–29", "30–99"}

"""What a shop with few sessions can recommend by: popularity, item-KNN, the encoder in its variants, and a mixture.

Everything is chosen on the validation slice; the test sessions are ranked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.sessions.data import Dataset, Ints, Queries
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.metrics import ranks_of, summary
from training.sessions.rules import by_row, item_cosine, recent, transitions
from training.small.augment_sessions import Augment, half_changed
from training.small.tuning import Tuning, again, epochs_for, tune
from training.small.warm_start import warm

Floats = NDArray[np.float32]
STEPS = 150
"""Steps of 128 targets that a small training aims at."""
PRIOR = 10.0
"""Clicks of the popularity that each prefix's neighbour scores are smoothed with."""


@dataclass(frozen=True)
class Start:
    """What a bigger shop gives: its model, and vectors [n, D] for the small shop's items by their content."""

    donor: SessionModel
    vectors: Floats


def popularity(sessions: Sequence[Ints], items: int) -> Floats:
    """Share of the clicks of each item [n]; every item counts as clicked once more."""
    counts = np.bincount(np.concatenate(list(sessions)), minlength=items) + 1.0
    return np.asarray(counts / counts.sum(), dtype=np.float32)


def neighbour_scores(sessions: Sequence[Ints], queries: Queries, items: int) -> Floats:
    """Log of item-KNN's share of each item [N, n], smoothed by popularity."""
    cosine = item_cosine(sessions, items) + by_row(transitions(sessions, items))
    scores = np.asarray((recent(queries, items) @ cosine).todense())
    smoothed = PRIOR * scores + popularity(sessions, items)
    return np.asarray(np.log(smoothed / smoothed.sum(1, keepdims=True)), dtype=np.float32)


def encoder_scores(model: SessionModel, queries: Queries) -> Floats:
    """Log probability [N, n] of all items after each prefix."""
    scores = model.scores(queries.items, model.unit_vectors())
    return np.asarray(torch.log_softmax(scores, dim=1).numpy(), dtype=np.float32)


def learned(
    data: Dataset, dim: int, seed: int, augment: Augment | None = None, start: Start | None = None
) -> tuple[SessionModel, SessionModel]:
    """An encoder that has learned without the validation slice, and one that has learned from everything.

    The validation slice chooses the epoch; the second model takes as many over all sessions. A warm one learns at a third of
    the rate, and may stay as it started.
    """
    recipe = EncoderRecipe(dim=dim, seed=seed)
    targets = sum(len(session) - 1 for session in data.fit)
    rate = 1e-3 if start else 3e-3
    how = Tuning(epochs_for(targets, 128, STEPS), learning_rate=rate, patience=12, seed=seed)

    def judge(model: SessionModel) -> float:
        return value_of(encoder_ranks(model, data.validation, mask_seen=data.mask_seen))

    torch.manual_seed(seed)
    chosen = SessionModel(data.items, recipe)
    torch.manual_seed(seed)
    final = SessionModel(data.items, recipe)
    if start is not None:
        for model in (chosen, final):
            warm(model, start.donor, start.vectors)
    untouched = judge(chosen.eval())
    state = {name: tensor.clone() for name, tensor in chosen.state_dict().items()}
    epochs, _ = tune(chosen, data.fit, how, augment, judge)
    if start is not None and judge(chosen) <= untouched:
        chosen.load_state_dict(state)
        return chosen, final.eval()
    tune(final, data.full, again(how, epochs), augment)
    return chosen, final


def value_of(found: NDArray[np.float64]) -> float:
    """What the validation slice is judged by: the mean of 1 / rank, which tells more than Recall where targets are few."""
    return float(np.where(np.isfinite(found), 1.0 / found, 0.0).mean())


def mixture(data: Dataset, chosen: SessionModel, final: SessionModel) -> tuple[NDArray[np.float64], float]:
    """Ranks of the test targets by w · encoder + (1 - w) · item-KNN, and the w that the validation slice likes best."""
    near = neighbour_scores(data.fit, data.validation, data.items)
    own = encoder_scores(chosen, data.validation)
    weights = np.linspace(0.0, 1.0, 11)
    values = [
        value_of(ranks_of(np.float32(w) * own + np.float32(1 - w) * near, data.validation, mask_seen=data.mask_seen))
        for w in weights
    ]
    # A parabola through noise would be no better: the mean of the best weights, by their values, is steadier than the best.
    share = float(np.average(weights, weights=np.exp(40.0 * (np.array(values) - max(values)))))
    test = share * encoder_scores(final, data.test) + (1 - share) * neighbour_scores(data.full, data.test, data.items)
    return ranks_of(np.asarray(test, dtype=np.float32), data.test, mask_seen=data.mask_seen), share


def compare(data: Dataset, dim: int, seed: int, start: Start, k: int = 20) -> dict[str, dict[str, float]]:
    """Recall, MRR and NDCG of every contender on the test sessions of one small log."""
    mask = data.mask_seen
    flat = np.tile(popularity(data.full, data.items), (len(data.test), 1))
    found = {
        "popularity": ranks_of(flat, data.test, mask_seen=mask),
        "item-KNN": ranks_of(neighbour_scores(data.full, data.test, data.items), data.test, mask_seen=mask),
    }
    variants = {
        "encoder": learned(data, dim, seed),
        "encoder, augmented": learned(data, dim, seed, half_changed),
        "encoder, warm start": learned(data, dim, seed, None, start),
        "encoder, warm start, augmented": learned(data, dim, seed, half_changed, start),
    }
    for name, (_, final) in variants.items():
        found[name] = encoder_ranks(final, data.test, mask_seen=mask)
    found["blended"], share = mixture(data, *variants["encoder, warm start, augmented"])
    figures = {name: summary(ranks, k) for name, ranks in found.items()}
    figures["blended"]["encoder_share"] = share
    return figures

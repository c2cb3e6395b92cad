"""Trains and evaluates everything on one log in one run: baselines, encoder, blend; the figures of a report.

The blend learns on the validation slice from an encoder, neighbours and counters that never saw it; the final encoder and
sources know all training sessions. The test part is ranked once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from fusion.neighbours import PLAIN, SessionNeighbours
from training.sessions.blending import Candidates, Sources, in_batches, train_blend
from training.sessions.data import Dataset, Queries
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.encoder_training import Tick, silent, train_encoder
from training.sessions.metrics import summary
from training.sessions.rules import (
    by_row,
    candidate_ranks,
    item_cosine,
    last_items,
    neighbour_ranks,
    recent,
    sparse_ranks,
    transitions,
)

Ranks = NDArray[np.float64]
BLEND_QUERIES = 12_000


def baselines(data: Dataset, tick: Tick = silent) -> dict[str, Ranks]:
    """Ranks of the test targets by popularity, SR, V-SKNN and item-KNN, learned from the final model's sessions."""
    clicks = np.concatenate(data.full)
    counts = np.bincount(clicks, minlength=data.items).astype(np.float32)
    rule = transitions(data.full, data.items)
    last = last_items(data.test)
    known = np.flatnonzero(last >= 0)
    single = sparse.csr_matrix((np.ones(len(known), np.float32), (known, last[known])), shape=(len(last), data.items))
    always = sparse.csr_matrix(np.ones((len(last), 1), np.float32))
    plain = SessionNeighbours(data.items, PLAIN)
    for session in data.full:
        plain.add(session.tolist())
    found = [plain.look_up(data.test.items[start : start + 4096], 200) for start in range(0, len(last), 4096)]
    near, votes = np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
    cosine = item_cosine(data.full, data.items) + by_row(rule)
    mask = data.mask_seen
    methods: dict[str, Callable[[], Ranks]] = {
        "popularity": lambda: sparse_ranks(always, sparse.csr_matrix(counts), data.test, mask_seen=mask),
        "SR": lambda: sparse_ranks(single, rule, data.test, mask_seen=mask),
        "V-SKNN": lambda: neighbour_ranks(near, votes, data.test, mask_seen=mask),
        "item-KNN": lambda: sparse_ranks(recent(data.test, data.items), cosine, data.test, mask_seen=mask),
    }
    found_ranks: dict[str, Ranks] = {}
    for done, (name, method) in enumerate(methods.items(), start=1):
        found_ranks[name] = method()
        tick("baselines", done / len(methods), name)
    return found_ranks


def load_model(data: Dataset, recipe: EncoderRecipe, path: Path) -> SessionModel:
    """The encoder of a checkpoint."""
    model = SessionModel(data.items, recipe)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def collected(sources: Sources, queries: Queries, tick: Callable[[float], None], *, mask_seen: bool) -> Candidates:
    """Candidates of all queries, held in memory."""
    parts: list[tuple[NDArray[np.int64], Candidates]] = []
    in_batches(sources, queries, lambda rows, made: parts.append((rows, made)), tick, mask_seen=mask_seen)
    rows = np.argsort(np.concatenate([part[0] for part in parts]))
    return Candidates(
        np.concatenate([part[1].items for part in parts])[rows], np.concatenate([part[1].features for part in parts])[rows]
    )


def breakdown(data: Dataset, found: Ranks, k: int) -> dict[str, list[dict[str, Any]]]:
    """Figures by length of the prefix, by the target's clicks in training and by where the target stood in the prefix."""
    counts = np.bincount(np.concatenate(data.full), minlength=data.items)
    popularity = np.where(data.test.targets >= 0, counts[np.maximum(data.test.targets, 0)], 0)
    width = data.test.items.shape[1]
    match = data.test.items[:, ::-1] == data.test.targets[:, None]
    lag = np.where(match.any(1) & (data.test.targets >= 0), match.argmax(1) + 1, width + 1)
    axes = {
        "length": (data.test.lengths, (1, 2, 3, 5, 8, 13)),
        "clicks": (popularity, (0, 1, 5, 10, 30, 100)),
        "position": (lag, (*(edge for edge in (1, 2, 3, 5, 10) if edge <= width), width + 1)),
    }
    result: dict[str, list[dict[str, Any]]] = {}
    for name, (values, edges) in axes.items():
        rows = []
        for low, high in zip(edges, (*edges[1:], None), strict=True):
            inside = (values >= low) & (values < high) if high is not None else values >= low
            if inside.any():
                end = "+" if high is None else ("" if high == low + 1 else f"–{high - 1}")
                label = "not in prefix" if name == "position" and low == width + 1 else f"{low}{end}"
                rows.append({"from": label, "queries": int(inside.sum()), **summary(found[inside], k)})
        result[name] = rows
    return result


def run(data: Dataset, folder: Path, recipe: EncoderRecipe, k: int, tick: Tick = silent) -> dict[str, Any]:
    """Train what the folder does not hold yet, then measure: one run from log to figures.

    Args:
        data: the log.
        folder: of checkpoints, curves and the blend.
        recipe: of the encoder.
        k: cut-off, 20 for sessions and 10 for histories.
        tick: told how far each stage is.

    Returns:
        Figures of each model, curves, breakdowns and minutes, for JSON.

    Raises:
        ConfigurationError: if the folder holds a training of another log or of another recipe.
    """
    progress = train_encoder(data, folder, recipe, k, tick)
    began = time.perf_counter()
    mask = data.mask_seen
    chosen = np.random.default_rng(recipe.seed).permutation(len(data.validation))[:BLEND_QUERIES]
    queries = data.validation.pick(np.sort(chosen))
    learned = collected(
        Sources.learn(load_model(data, recipe, folder / "fit.pt"), data.fit, data.items),
        queries,
        lambda share: tick("blend", share, ""),
        mask_seen=mask,
    )
    blend, losses = train_blend(learned, queries.targets, seed=recipe.seed)
    reached = float(((learned.items == queries.targets[:, None]) & (queries.targets[:, None] >= 0)).any(1).mean())
    del learned
    np.savez(folder / "blend.npz", **asdict(blend))
    blend_seconds = time.perf_counter() - began
    began = time.perf_counter()
    final = load_model(data, recipe, folder / "final.pt")
    ranks = baselines(data, tick)
    ranks["encoder"] = encoder_ranks(final, data.test, mask_seen=mask)
    blended, tuned = np.full(len(data.test), np.inf), np.full(len(data.test), np.inf)

    def rank(rows: NDArray[np.int64], made: Candidates) -> None:
        targets = data.test.targets[rows]
        scores = np.where(made.items >= 0, blend.score(made.features), -np.inf).astype(np.float32)
        blended[rows] = candidate_ranks(made.items, scores, targets)
        votes = np.where(made.items >= 0, made.features[..., 2], -np.inf).astype(np.float32)
        tuned[rows] = candidate_ranks(made.items, votes, targets)

    in_batches(
        Sources.learn(final, data.full, data.items), data.test, rank, lambda share: tick("test", share, ""), mask_seen=mask
    )
    ranks["session neighbours, tuned"] = tuned
    ranks["blend"] = blended
    untrained = data.test.pick(np.random.default_rng(7).permutation(len(data.test))[:2000])
    torch.manual_seed(recipe.seed)
    before = encoder_ranks(SessionModel(data.items, recipe), untrained, mask_seen=mask)
    evaluate_seconds = time.perf_counter() - began
    return {
        "data": data.name,
        "items": data.items,
        "sessions": len(data.full),
        "test_queries": len(data.test),
        "seed": recipe.seed,
        "k": k,
        "models": {"encoder before training": summary(before, k)} | {name: summary(found, k) for name, found in ranks.items()},
        "validation_targets_among_candidates": reached,
        "curve": progress.curve,
        "blend_curve": losses,
        "breakdown": breakdown(data, blended, k),
        "minutes": {
            "encoder": round(progress.seconds / 60, 2),
            "encoder, processor time": round(progress.processor_seconds / 60, 2),
            "blend": round(blend_seconds / 60, 2),
            "evaluation": round(evaluate_seconds / 60, 2),
        },
        "recipe": asdict(recipe),
    }

"""Trains and evaluates everything on one log in one run: baselines, encoder, blend; the figures of a report.

The blend learns on the validation slice from an encoder, neighbours and counters that never saw it; the final encoder and
sources know all training sessions. The test part is ranked once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.blend import Blend
from training.sessions.baselines import Ranks, baselines
from training.sessions.blend_training import BlendRecipe, train_blend
from training.sessions.blending import Candidates, Sources, in_batches
from training.sessions.breakdowns import breakdown
from training.sessions.data import Dataset, Queries
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.encoder_training import Tick, silent, train_encoder
from training.sessions.metrics import summary
from training.sessions.rules import candidate_ranks

DETAILED = ("blend", "encoder", "V-SKNN")
"""Models whose figures are told by length, popularity and position."""


@dataclass(frozen=True)
class LearnedBlend:
    """A blend and how its training went.

    Attributes:
        blend: the network.
        curve: loss on its own held-out queries after each epoch.
        reached: share of the validation targets that are among the candidates.
        queries: validation queries that it learned from, those held out among them.
    """

    blend: Blend
    curve: list[float]
    reached: float
    queries: int


def load_model(data: Dataset, recipe: EncoderRecipe, path: Path) -> SessionModel:
    """The encoder of a checkpoint."""
    model = SessionModel(data.items, recipe)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def collected(sources: Sources, queries: Queries, tick: Callable[[float], None], *, mask_seen: bool) -> Candidates:
    """Candidates of all queries, held in memory; features as float16, which halves some hundred megabytes."""
    parts: list[tuple[NDArray[np.int64], Candidates]] = []

    def keep(rows: NDArray[np.int64], made: Candidates) -> None:
        parts.append((rows, Candidates(made.items, made.features.astype(np.float16))))

    in_batches(sources, queries, keep, tick, mask_seen=mask_seen)
    rows = np.argsort(np.concatenate([part[0] for part in parts]))
    return Candidates(
        np.concatenate([part[1].items for part in parts])[rows], np.concatenate([part[1].features for part in parts])[rows]
    )


def learn_blend(data: Dataset, folder: Path, encoder: EncoderRecipe, recipe: BlendRecipe, tick: Tick) -> LearnedBlend:
    """The blend from the validation slice, with sources that never saw it; left in the folder as `blend.npz`."""
    chosen = np.random.default_rng(recipe.seed).permutation(len(data.validation))[: recipe.queries]
    queries = data.validation.pick(np.sort(chosen))
    sources = Sources.learn(load_model(data, encoder, folder / "fit.pt"), data.fit, data.items)
    made = collected(sources, queries, lambda share: tick("blend", 0.5 * share, "candidates"), mask_seen=data.mask_seen)
    blend, losses = train_blend(made, queries.targets, recipe, lambda share: tick("blend", 0.5 + 0.5 * share, "training"))
    reached = float(((made.items == queries.targets[:, None]) & (queries.targets[:, None] >= 0)).any(1).mean())
    np.savez(folder / "blend.npz", **asdict(blend))
    return LearnedBlend(blend, losses, reached, len(queries))


def our_ranks(data: Dataset, model: SessionModel, blend: Blend, tick: Tick) -> dict[str, Ranks]:
    """Ranks of the test targets by the final encoder, the tuned neighbours and the blend; all learned from `data.full`."""
    mask = data.mask_seen
    encoder = encoder_ranks(model, data.test, mask_seen=mask)
    blended, tuned = np.full(len(data.test), np.inf), np.full(len(data.test), np.inf)

    def rank(rows: NDArray[np.int64], made: Candidates) -> None:
        targets = data.test.targets[rows]
        scores = np.where(made.items >= 0, blend.score(made.features), -np.inf).astype(np.float32)
        blended[rows] = candidate_ranks(made.items, scores, targets)
        votes = np.where(made.items >= 0, made.features[..., 2], -np.inf).astype(np.float32)
        tuned[rows] = candidate_ranks(made.items, votes, targets)

    sources = Sources.learn(model, data.full, data.items)
    in_batches(sources, data.test, rank, lambda share: tick("test", share, ""), mask_seen=mask)
    return {"encoder": encoder, "session neighbours, tuned": tuned, "blend": blended}


def untrained(data: Dataset, recipe: EncoderRecipe) -> Ranks:
    """Ranks by the encoder before training, of 2,000 test queries."""
    some = data.test.pick(np.random.default_rng(7).permutation(len(data.test))[:2000])
    torch.manual_seed(recipe.seed)
    return encoder_ranks(SessionModel(data.items, recipe), some, mask_seen=data.mask_seen)


def run(
    data: Dataset,
    folder: Path,
    recipe: EncoderRecipe,
    k: int,
    tick: Tick = silent,
    others: Mapping[str, Ranks] | None = None,
) -> dict[str, Any]:
    """Train what the folder does not hold yet, then measure: one run from log to figures.

    Args:
        data: the log.
        folder: of checkpoints, curves and the blend.
        recipe: of the encoder; its seed is the blend's too.
        k: cut-off, 20 for sessions and 10 for histories.
        tick: told how far each stage is.
        others: ranks of the models to compare with; the baselines are made here if it is left out.

    Returns:
        Figures of each model, curves, breakdowns and minutes, for JSON.

    Raises:
        ConfigurationError: if the folder holds a training of another log or of another recipe.
    """
    progress = train_encoder(data, folder, recipe, k, tick)
    began = time.perf_counter(), time.process_time()
    blend_recipe = BlendRecipe(seed=recipe.seed)
    learned = learn_blend(data, folder, recipe, blend_recipe, tick)
    blended = time.perf_counter(), time.process_time()
    ranks = dict(others) if others is not None else baselines(data, tick)
    ranks |= our_ranks(data, load_model(data, recipe, folder / "final.pt"), learned.blend, tick)
    models = {"encoder before training": summary(untrained(data, recipe), k)}
    return {
        "data": data.name,
        "items": data.items,
        "sessions": len(data.full),
        "test_queries": len(data.test),
        "seed": recipe.seed,
        "k": k,
        "models": models | {name: summary(found, k) for name, found in ranks.items()},
        "validation_targets_among_candidates": learned.reached,
        "curve": progress.curve,
        "blend_curve": learned.curve,
        "blend_queries": learned.queries,
        "breakdowns": {name: breakdown(data, ranks[name], k) for name in DETAILED if name in ranks},
        "minutes": {
            "encoder": round(progress.seconds / 60, 2),
            "encoder, processor time": round(progress.processor_seconds / 60, 2),
            "blend": round((blended[0] - began[0]) / 60, 2),
            "blend, processor time": round((blended[1] - began[1]) / 60, 2),
            "evaluation": round((time.perf_counter() - blended[0]) / 60, 2),
        },
        "recipe": asdict(recipe),
        "blend_recipe": asdict(blend_recipe),
    }

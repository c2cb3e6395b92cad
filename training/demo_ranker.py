"""Trains the candidate ranker on logged pages and judges it: order (NDCG) and probabilities (calibration)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from fusion.features import FEATURES
from fusion.scorer import Scorer
from training.demo_metrics import calibration, ndcg
from training.demo_pages import PageLog
from training.demo_pictures import cosine_schedule, descend


@dataclass(frozen=True)
class RankerRecipe:
    """How the ranker is trained."""

    epochs: int = 12
    batch: int = 2048
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    clip: float = 5.0


def _flat(log: PageLog) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features [N, F], positions [N], clicks [N]."""
    pages, places, width = log.features.shape
    positions = torch.arange(places).expand(pages, -1).reshape(-1)
    return torch.from_numpy(log.features.reshape(-1, width)), positions, torch.from_numpy(log.clicked.reshape(-1))


def train_ranker(scorer: Scorer, log: PageLog, recipe: RankerRecipe, seed: int, tick: Callable[[float], None]) -> list[float]:
    """Train in place with binary cross-entropy.

    Args:
        scorer: the ranker.
        log: training pages.
        recipe: how.
        seed: of the order.
        tick: called after each step with its loss.

    Returns:
        Mean loss of each epoch.
    """
    features, positions, clicks = _flat(log)
    scorer.fit_inputs(features, positions)
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(features) // recipe.batch)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = cosine_schedule(optimizer, steps * recipe.epochs, 0.05)
    scorer.train()
    losses = []
    for _ in range(recipe.epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(features), generator=generator), recipe.batch):
            loss = functional.binary_cross_entropy_with_logits(scorer.logits(features[rows], positions[rows]), clicks[rows])
            value = descend(loss, optimizer, schedule, recipe.clip)
            total += value * len(rows)
            tick(value)
        losses.append(total / len(features))
    scorer.eval()
    return losses


@torch.no_grad()
def judge_ranker(scorer: Scorer, log: PageLog) -> dict[str, Any]:
    """Measures on pages that training did not see; the pages' order was random, so that places explain nothing."""
    features, _, clicks = _flat(log)
    probability = scorer(features).numpy()
    pages = log.clicked.shape
    query = log.features[..., FEATURES.index("logit")] + log.features[..., FEATURES.index("pointer")]
    error, bins = calibration(probability, clicks.numpy())
    rng = np.random.default_rng(0)
    return {
        "pages": pages[0],
        "ndcg_random_order": ndcg(rng.random(pages).astype(np.float32), log.clicked),
        "ndcg_query_alone": ndcg(query, log.clicked),
        "ndcg_ranker": ndcg(probability.reshape(pages), log.clicked),
        "click_rate": float(clicks.mean()),
        "ece": error,
        "reliability": bins,
    }

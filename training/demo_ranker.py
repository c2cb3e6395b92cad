"""Trains the candidate ranker on logged pages and judges it: order (NDCG) and probabilities (calibration).

The click head learns two things at once: whether a place is clicked (binary cross-entropy, which keeps the probabilities)
and which place of a page with a click it was (a softmax over the page, which keeps the order). The other heads learn what
came of the click. A tenth of the pages, which the weights never see, calibrates each probability (Platt, 1999).

Shapes: P pages, K places, N = P·K candidates, F features, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fusion.features import FEATURES
from fusion.scorer import Scorer
from training.demo_metrics import auc, calibration, ndcg
from training.demo_pages import PageLog
from training.demo_pictures import cosine_schedule, descend

TOP = 10


@dataclass(frozen=True)
class RankerRecipe:
    """How the ranker is trained."""

    epochs: int = 12
    batch: int = 2048
    """Candidates of a step, whole pages."""
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    clip: float = 5.0
    order: float = 1.0
    """Weight of the softmax over the page beside the cross-entropy of each place."""
    held_out: float = 0.1
    """Share of the pages that calibrates."""


def labels_of(log: PageLog, heads: tuple[str, ...]) -> Tensor:
    """What each head should say, float32 [P, K, H]; NaN where nothing is known.

    Raises:
        ValueError: if the log says nothing of a head.
    """
    missing = [head for head in heads if head != "click" and head not in log.later]
    if missing:
        message = f"heads {missing} have no labels in this log, which holds click and {sorted(log.later)}"
        raise ValueError(message)
    columns = [log.clicked if head == "click" else log.later[head] for head in heads]
    return torch.from_numpy(np.stack(columns, axis=-1))


def losses_of(said: Tensor, labels: Tensor, heads: tuple[str, ...], order: float) -> Tensor:
    """Sum of the heads' losses for pages [B, K, H] of outputs and labels."""
    total = said.new_zeros(())
    for head, name in enumerate(heads):
        mine, wanted = said[..., head], labels[..., head]
        known = ~wanted.isnan()
        if name == "dwell":
            error = torch.where(known, mine - torch.log1p(wanted.nan_to_num()), 0.0)
            total = total + error.square().sum() / known.sum().clamp_min(1)
        else:
            total = total + functional.binary_cross_entropy_with_logits(mine, wanted)
    clicks = labels[..., 0]
    happened = clicks.sum(-1) > 0
    if order and happened.any():
        share = clicks[happened] / clicks[happened].sum(-1, keepdim=True)
        total = total + order * functional.cross_entropy(said[happened][..., 0], share) * happened.float().mean()
    return total


def train_ranker(scorer: Scorer, log: PageLog, recipe: RankerRecipe, seed: int, tick: Callable[[float], None]) -> list[float]:
    """Train in place, then calibrate.

    Args:
        scorer: the ranker; the log must have labels for its heads.
        log: training pages.
        recipe: how.
        seed: of the order.
        tick: called after each step with its loss.

    Returns:
        Mean loss of each epoch.
    """
    pages, places, width = log.features.shape
    features, labels = torch.from_numpy(log.features), labels_of(log, scorer.heads)
    position = torch.arange(places)
    scorer.fit_inputs(features.reshape(-1, width), position.repeat(pages))
    start(scorer, labels)
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randperm(pages, generator=generator)
    held, used = mixed[: int(pages * recipe.held_out)], mixed[int(pages * recipe.held_out) :]
    batch = max(1, recipe.batch // places)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = cosine_schedule(optimizer, steps_of(pages, places, recipe), 0.05)
    scorer.train()
    losses = []
    for _ in range(recipe.epochs):
        total = 0.0
        for rows in torch.split(used[torch.randperm(len(used), generator=generator)], batch):
            said = scorer.outputs(features[rows].reshape(-1, width), position.repeat(len(rows)))
            loss = losses_of(said.view(len(rows), places, -1), labels[rows], scorer.heads, recipe.order)
            value = descend(loss, optimizer, schedule, recipe.clip)
            total += value * len(rows)
            tick(value)
        losses.append(total / len(used))
    scorer.eval()
    if len(held):
        calibrate(scorer, features[held].reshape(-1, width), position.repeat(len(held)), labels[held].flatten(0, 1))
    return losses


def steps_of(pages: int, places: int, recipe: RankerRecipe) -> int:
    """Steps of a training, each of which ticks."""
    used = pages - int(pages * recipe.held_out)
    return int(recipe.epochs * -(-used // max(1, recipe.batch // places)))


@torch.no_grad()
def start(scorer: Scorer, labels: Tensor) -> None:
    """Begin with the retrieval score as the click's log-odds, to be bettered, and with each other head's mean [P, K, H]."""
    for name in ("logit", "pointer"):
        column = FEATURES.index(name)
        scorer.linear.weight[0, column] = 1.0 / scorer.scale[column]
    scorer.linear.bias[0] = -3.0
    for head, name in enumerate(scorer.heads[1:], start=1):
        known = labels[..., head][~labels[..., head].isnan()]
        mean = torch.log1p(known).mean() if name == "dwell" else torch.logit(known.mean().clamp(1e-4, 1 - 1e-4))
        scorer.linear.bias[head] = torch.nan_to_num(mean)


def calibrate(scorer: Scorer, features: Tensor, position: Tensor, labels: Tensor) -> None:
    """Fit slope and offset of each probability in place, by maximum likelihood on candidates that training did not see.

    Args:
        scorer: the trained ranker.
        features: [N, F].
        position: int64 [N].
        labels: [N, H].
    """
    with torch.no_grad():
        said = scorer.outputs(features, position)
    for head, name in enumerate(scorer.heads):
        if name == "dwell" or labels[:, head].sum() < 10:
            continue
        line = torch.tensor([1.0, 0.0], requires_grad=True)
        optimizer = torch.optim.LBFGS([line], max_iter=50, line_search_fn="strong_wolfe")
        mine, wanted = said[:, head], labels[:, head]

        def loss(line: Tensor = line, mine: Tensor = mine, wanted: Tensor = wanted) -> Tensor:
            return functional.binary_cross_entropy_with_logits(line[0] * mine + line[1], wanted)

        def closure(optimizer: torch.optim.Optimizer = optimizer, loss: Callable[[], Tensor] = loss) -> float:
            optimizer.zero_grad()
            value = loss()
            torch.autograd.backward(value)
            return float(value.detach())

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            scorer.slope[head], scorer.offset[head] = line[0].clamp(0.2, 5.0), line[1]


@torch.no_grad()
def judge_ranker(scorer: Scorer, log: PageLog) -> dict[str, Any]:
    """Measures on pages that training did not see; the pages' order was random, so that places explain nothing."""
    pages = log.clicked.shape
    values = [value.numpy() for value in scorer.values(torch.from_numpy(log.features.reshape(-1, log.features.shape[-1])))]
    probability, clicks = values[0], log.clicked.reshape(-1)
    query = log.features[..., FEATURES.index("logit")] + log.features[..., FEATURES.index("pointer")]
    error, bins = calibration(probability, clicks)
    rng = np.random.default_rng(0)
    ranked = probability.reshape(pages)
    return {
        "pages": pages[0],
        "k": TOP,
        "ndcg_random_order": ndcg(rng.random(pages).astype(np.float32), log.clicked, TOP),
        "ndcg_query_alone": ndcg(query, log.clicked, TOP),
        "ndcg_ranker": ndcg(ranked, log.clicked, TOP),
        "click_rate": float(clicks.mean()),
        "ece": error,
        "reliability": bins,
        "heads": {name: _judge_head(value, labels) for name, value, labels in _labelled(scorer, values, log)},
    }


def _labelled(
    scorer: Scorer, values: list[NDArray[np.float32]], log: PageLog
) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Name, values [N] and labels [N] of the heads that the log knows."""
    known = {"click": log.clicked, **log.later}
    return [(name, value, known[name].reshape(-1)) for name, value in zip(scorer.heads, values, strict=True) if name in known]


def _judge_head(value: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, float]:
    seen = ~np.isnan(labels)
    value, labels = value[seen], labels[seen]
    return {"rate": float(labels.mean()), "auc": auc(value, labels), "ece": calibration(value, labels)[0]}

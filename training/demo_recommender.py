"""Trains fusion, behaviour vectors and session encoder together: after each event, which item is viewed next?

Every step fuses all items anew under modality dropout, so that an item that was never clicked (no behaviour), has no
picture or no text is placed where its rest says; the softmax runs over all items.

Shapes: B visits, T events, n items, D width, W ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fusion.fuse import Fused, Fusion, hide_modalities
from fusion.session import SessionEncoder
from training.demo_clicks import Clicks, Visit, batches
from training.demo_metrics import ranks
from training.demo_pictures import cosine_schedule, descend

NEVER = -1e9


@dataclass(frozen=True)
class Recipe:
    """How the recommender is trained."""

    epochs: int = 10
    targets: int = 1024
    """Events of a step."""
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    clip: float = 5.0
    modality_dropout: float = 0.25


class Recommender(nn.Module):
    """Item vectors and session encoder over a fixed table of items.

    Args:
        fusion: fuses the modalities.
        session: session encoder of the same width.
        text_raw: float32 [n, text_width].
        image_raw: float32 [n, image_width].
        has: float32 [n, 3], which modalities are there; an item without behaviour is never a negative either.
    """

    text_raw: Tensor
    image_raw: Tensor
    has: Tensor

    def __init__(self, fusion: Fusion, session: SessionEncoder, text_raw: Tensor, image_raw: Tensor, has: Tensor) -> None:
        super().__init__()
        self.fusion = fusion
        self.session = session
        self.behaviour = nn.Embedding(len(has), session.config.dim)
        nn.init.normal_(self.behaviour.weight, std=session.config.dim**-0.5 * 0.5)
        self.register_buffer("text_raw", text_raw)
        self.register_buffer("image_raw", image_raw)
        self.register_buffer("has", has)

    def items(self, has: Tensor | None = None) -> Fused:
        """Vectors of all n items, with the given modalities or all that are there."""
        fused: Fused = self.fusion(self.text_raw, self.image_raw, self.behaviour.weight, self.has if has is None else has)
        return fused

    def logits(self, fused: Tensor, answers: Tensor, clicks: Clicks) -> tuple[Tensor, Tensor]:
        """Scores of all items where something is to be guessed.

        Args:
            fused: [n, D] vectors of the events' items.
            answers: [n, D] vectors of the items that may answer.
            clicks: B visits.

        Returns:
            [N, n] scores and [N] targets of the N events that have a target.
        """
        items = torch.from_numpy(clicks.items)
        query, pointer = self.session(functional.embedding(items, fused), torch.from_numpy(clicks.kinds))
        targets = torch.from_numpy(clicks.targets)
        asked = targets >= 0
        ring, newest = ring_places(items, self.session.config.ring)
        scores = query[asked] @ answers.T
        return scores.scatter_add(1, ring[asked], pointer[asked] * newest[asked]), targets[asked]


def ring_places(items: Tensor, ring: int) -> tuple[Tensor, Tensor]:
    """Items of the ring after each event, int64 [B, T, W], and 1 at each item's newest place, float32 [B, T, W]."""
    padded = functional.pad(items + 1, (ring - 1, 0))  # 0 where empty
    windows = padded.unfold(1, ring, 1).flip(-1)
    same = windows.unsqueeze(-1) == windows.unsqueeze(-2)
    is_repeat = torch.tril(same, diagonal=-1).any(-1)
    return (windows - 1).clamp_min(0), ((windows > 0) & ~is_repeat).to(torch.float32)


def train_recommender(
    model: Recommender, visits: Sequence[Visit], recipe: Recipe, seed: int, tick: Callable[[float, float], None]
) -> list[float]:
    """Train in place.

    Args:
        model: the recommender.
        visits: training visits.
        recipe: how.
        seed: of order and modality dropout.
        tick: called after each step with the share that is done (0–1) and the loss.

    Returns:
        Mean loss of each epoch.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    steps = recipe.epochs * sum(1 for _ in batches(visits, recipe.targets, rng))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    schedule = cosine_schedule(optimizer, steps, recipe.warm_up)
    unseen = (model.has[:, 2] == 0) * NEVER
    model.train()
    losses, done = [], 0
    for _ in range(recipe.epochs):
        total, count = 0.0, 0
        for clicks in batches(visits, recipe.targets, rng):
            fused = model.items(hide_modalities(model.has, recipe.modality_dropout, generator)).fused
            scores, targets = model.logits(fused, fused, clicks)
            loss = functional.cross_entropy(scores + unseen, targets)
            value = descend(loss, optimizer, schedule, recipe.clip)
            total, count, done = total + value * len(targets), count + len(targets), done + 1
            tick(min(done / steps, 1.0), value)
        losses.append(total / count)
    model.eval()
    return losses


@torch.no_grad()
def target_ranks(
    model: Recommender, visits: Sequence[Visit], allowed: NDArray[np.bool_], answers_have: Tensor | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rank of each next item among the allowed ones, and which item it was.

    Args:
        model: the recommender.
        visits: test visits.
        allowed: bool [n], who may answer; other targets are left out.
        answers_have: [n, 3] modalities of the answering items, all that are there by default.
    """
    model.eval()
    fused = model.items().fused
    answers = fused if answers_have is None else model.items(answers_have).fused
    barred = torch.from_numpy(np.where(allowed, 0.0, -np.inf).astype(np.float32))
    found, which = [], []
    for clicks in batches(visits, 2048, None):
        scores, targets = model.logits(fused, answers, clicks)
        kept = torch.from_numpy(allowed)[targets]
        if kept.any():
            found.append(ranks((scores[kept] + barred).numpy(), targets[kept].numpy()))
            which.append(targets[kept].numpy())
    if not found:
        return np.zeros(0), np.zeros(0, np.int64)
    return np.concatenate(found), np.concatenate(which)

"""A short training in memory: epochs over few sessions, each judged if a judge is given, the best weights kept.

`training.sessions.encoder_training` is for large logs: it writes checkpoints and goes on after a kill. Here a training takes
seconds, so that several can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from training.demo_pictures import cosine_schedule, descend
from training.sessions.data import Ints
from training.sessions.encoder import Sampler, SessionModel, batches, sampled_loss
from training.small.augment_sessions import Augment

Judge = Callable[[SessionModel], float]


@dataclass(frozen=True)
class Tuning:
    """How.

    Attributes:
        epochs: over the sessions.
        targets: of a step.
        learning_rate: at its highest.
        rise: share of the steps in which the rate rises.
        negatives: draws of the sampled softmax.
        clip: norm that gradients are cut to.
        patience: judged epochs without a gain after which training ends.
        seed: of order, draws and dropout.
    """

    epochs: int
    targets: int = 128
    learning_rate: float = 3e-3
    rise: float = 0.1
    negatives: int = 1024
    clip: float = 5.0
    patience: int = 1000
    seed: int = 0


def epochs_for(targets: int, step: int, steps: int, most: int = 80) -> int:
    """Epochs that make about `steps` steps of `step` targets each, 2 to `most`."""
    return int(np.clip(round(steps / max(targets / step, 1.0)), 2, most))


def tune(
    model: SessionModel,
    sessions: Sequence[Ints],
    how: Tuning,
    augment: Augment | None = None,
    judge: Judge | None = None,
) -> tuple[int, list[float]]:
    """Train in place; with a judge the model ends with the weights that it liked best.

    Args:
        model: also one that has learned before.
        sessions: of two clicks or more, rows of the model's items.
        how: rate, steps, seed.
        augment: changes the sessions of each epoch.
        judge: called after each epoch; the higher the better.

    Returns:
        The best epoch, counted from 1 (the last one without a judge), and the mean loss of each epoch.
    """
    rng = np.random.default_rng(how.seed)
    torch.manual_seed(how.seed)
    counts = np.bincount(np.concatenate(list(sessions)), minlength=len(model.vectors)).astype(np.float64)
    sampler = Sampler(counts, how.negatives, rng)
    optimizer = torch.optim.Adam(model.parameters(), lr=how.learning_rate, betas=(0.9, 0.98), fused=True)
    targets = sum(len(session) - 1 for session in sessions)
    schedule = cosine_schedule(optimizer, how.epochs * (1 + targets // how.targets), how.rise)
    best, best_epoch, kept, losses = -np.inf, how.epochs, None, []
    for epoch in range(1, how.epochs + 1):
        model.train()
        seen = augment(sessions, rng) if augment else sessions
        blocks = batches(seen, how.targets, rng)
        losses.append(
            float(np.mean([descend(sampled_loss(model, block, sampler), optimizer, schedule, how.clip) for block in blocks]))
        )
        if judge is not None:
            value = judge(model.eval())
            if value > best:
                best, best_epoch = value, epoch
                kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            elif epoch - best_epoch >= how.patience:
                break
    if kept is not None:
        model.load_state_dict(kept)
    model.eval()
    return best_epoch, losses


def again(how: Tuning, epochs: int) -> Tuning:
    """The same with other epochs: what a refit on all sessions takes, when a judge has chosen them."""
    return replace(how, epochs=max(1, epochs))

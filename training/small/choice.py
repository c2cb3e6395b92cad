"""Whether a log is small, and then: smaller steps, and augmentation if, and only if, it helps on the validation slice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from training.sessions.data import Dataset
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.small.augment_sessions import Augment, half_changed
from training.small.tuning import Tuning, epochs_for, tune

SMALL = 10_000
"""Targets in the training part below which a log is small."""
STEPS = 300
"""Steps that a training of a small log aims at."""
TRIAL = 120
"""Steps of a trial."""
SEEDS = 2


@dataclass(frozen=True)
class Choice:
    """How a log is trained.

    Attributes:
        recipe: that of the caller, with smaller steps if the log is small.
        augment: None leaves the sessions as they are.
        plain: mean of 1 / rank on the validation slice of trials without augmentation; None if the log is not small.
        augmented: the same of trials with it.
    """

    recipe: EncoderRecipe
    augment: Augment | None = None
    plain: float | None = None
    augmented: float | None = None


def fitted_to(data: Dataset, recipe: EncoderRecipe) -> Choice:
    """Choose for a log; a large one, or one whose histories are masked, keeps the recipe as it is.

    Two short trainings with each of two seeds, a few seconds in all, tell whether augmentation helps. A recipe with bounds of
    its own for the epochs keeps them.
    """
    targets = sum(len(session) - 1 for session in data.fit)
    if targets >= SMALL or data.mask_seen or not len(data.validation):
        return Choice(recipe)
    step = int(np.clip(targets // 8, 64, recipe.targets))
    most = max(recipe.most, epochs_for(targets, step, STEPS)) if recipe.most == EncoderRecipe.most else recipe.most
    small = replace(recipe, targets=step, most=most, patience=max(recipe.patience, 6))
    plain, augmented = (_value(data, small, augment) for augment in (None, half_changed))
    return Choice(small, half_changed if augmented > plain else None, plain, augmented)


def _value(data: Dataset, recipe: EncoderRecipe, augment: Augment | None) -> float:
    """Best mean of 1 / rank on the validation slice, mean of the trials' seeds."""

    def judge(model: SessionModel) -> float:
        return float((1.0 / encoder_ranks(model, data.validation, mask_seen=data.mask_seen)).mean())

    values = []
    targets = sum(len(session) - 1 for session in data.fit)
    for seed in range(recipe.seed, recipe.seed + SEEDS):
        torch.manual_seed(seed)
        model = SessionModel(data.items, recipe)
        epochs = epochs_for(targets, recipe.targets, TRIAL)
        how = Tuning(epochs, targets=recipe.targets, learning_rate=recipe.learning_rate, patience=10, seed=seed)
        tune(model, data.fit, how, augment, judge)
        values.append(judge(model))
    return float(np.mean(values))

"""What is searched: the session encoder's recipe, and the fine-tuning's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from optuna.trial import Trial

from training.finetune.data import Items
from training.finetune.loop import finetune
from training.finetune.model import Classifier
from training.finetune.recipe import Recipe
from training.finetune.run import Bases, open_towers
from training.search.study import Pruning
from training.sessions.data import Dataset
from training.sessions.encoder import EncoderRecipe
from training.sessions.encoder_training import train_encoder

SESSION_FIGURE, FINETUNE_FIGURE = "fit/mrr@20", "validation/macro_f1"
"""What a trial is judged by: both are of the validation slice, never of the test part."""
Tick = Callable[[float], None]


def session_recipe(trial: Trial, recipe: EncoderRecipe) -> EncoderRecipe:
    """A trial's recipe of the session encoder."""
    return replace(
        recipe,
        learning_rate=trial.suggest_float("learning_rate", 5e-4, 2e-2, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        negatives=trial.suggest_int("negatives", 256, 4096, log=True),
        targets=trial.suggest_int("targets", 128, 1024, log=True),
    )


def sessions(data: Dataset, recipe: EncoderRecipe, tick: Tick) -> Callable[[Trial], float]:
    """Objective: MRR@20 on the validation slice, the best epoch's; trials leave no checkpoints.

    Args:
        data: the log.
        recipe: what is not searched; `refit_epochs` is 0 here.
        tick: told the value after each epoch.
    """

    def objective(trial: Trial) -> float:
        tracker = Pruning(trial, SESSION_FIGURE, tick)
        chosen = session_recipe(trial, replace(recipe, refit_epochs=0))
        with TemporaryDirectory() as folder:
            train_encoder(data, Path(folder), chosen, 20, tracker=tracker)
        return tracker.best

    return objective


def newest(data: Dataset, sessions: int) -> Dataset:
    """A log whose trials learn from its newest sessions only; validation stays whole."""
    return replace(data, fit=data.fit[-sessions:])


def finetune_recipe(trial: Trial, recipe: Recipe) -> Recipe:
    """A trial's recipe of the fine-tuning; what is searched follows from the mode."""
    chosen = replace(
        recipe,
        head_rate=trial.suggest_float("head_rate", 1e-3, 1e-1, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.3),
        batch=trial.suggest_categorical("batch", [32, 64]),
    )
    if recipe.mode == "lora":
        rate = trial.suggest_float("adapter_rate", 1e-4, 1e-2, log=True)
        chosen = replace(chosen, adapter_rate=rate, rank=trial.suggest_categorical("rank", [4, 8, 16]))
    if recipe.mode == "full":
        chosen = replace(chosen, rate=trial.suggest_float("rate", 1e-5, 2e-4, log=True))
    return chosen


def tuning(items: Items, bases: Bases, recipe: Recipe, tick: Tick) -> Callable[[Trial], float]:
    """Objective: macro-F1 on the validation part, the best epoch's; the test part is not looked at for choosing.

    Args:
        items: labelled ones.
        bases: towers, opened anew for each trial.
        recipe: what is not searched.
        tick: told the value after each epoch.
    """

    def objective(trial: Trial) -> float:
        tracker, chosen = Pruning(trial, FINETUNE_FIGURE, tick), finetune_recipe(trial, recipe)
        torch.manual_seed(chosen.seed)
        model = Classifier(open_towers(chosen.towers, bases), len(items.classes), chosen)
        model.read(items)
        with TemporaryDirectory() as folder:
            finetune(model, items, chosen, Path(folder), tracker)
        return tracker.best

    return objective

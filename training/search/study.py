"""A study on disk: SQLite, resumable, pruning; what is searched is a function of a trial.

A killed study keeps its finished trials. The trial that the kill cut is marked as failed when the study goes on, and its
parameters are tried again first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import optuna
from optuna.trial import Trial, TrialState

from contracts.errors import ConfigurationError

Objective = Callable[[Trial, "Pruning"], float]
FILE = "study.db"


@dataclass(frozen=True)
class Plan:
    """How a study goes.

    Attributes:
        trials: finished, pruned and failed ones together after which it ends, counted over all its runs.
        seed: of the sampler.
        pruner: `median` cuts a trial that is worse than the median of the earlier ones at the same epoch, `hyperband` gives
            most trials few epochs and few trials all.
        warm_up: epochs that each trial gets before the median may cut it.
    """

    trials: int = 20
    seed: int = 0
    pruner: Literal["median", "hyperband", "none"] = "median"
    warm_up: int = 2


class Pruning:
    """A tracker (:class:`training.tracking.port.Tracker`) that reports one figure to a trial and ends it if it is hopeless.

    Args:
        trial: that is told.
        figure: name of the scalar, the higher the better.
        tick: told each value.
    """

    def __init__(self, trial: Trial, figure: str, tick: Callable[[float], None] = lambda _: None) -> None:
        self._trial, self._figure, self._tick = trial, figure, tick
        self.best = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to close: the study's storage is Optuna's."""

    def settings(self, values: Mapping[str, object]) -> None:
        """The trial has its own parameters."""

    def file(self, path: Path) -> None:
        """Trials have no files."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Report the figure.

        Raises:
            optuna.TrialPruned: if the trial is hopeless.
        """
        if self._figure not in values:
            return
        value = float(values[self._figure])
        self.best = max(self.best, value)
        self._trial.report(value, step)
        self._tick(value)
        if self._trial.should_prune():
            message = f"{self._figure} {value:.4f} at step {step}"
            raise optuna.TrialPruned(message)


def open_study(folder: Path, about: Mapping[str, Any], plan: Plan) -> optuna.Study:
    """The study in a folder, begun or taken up again.

    Args:
        folder: holds `study.db`; created if missing.
        about: what is searched on what; a study on something else is refused.
        plan: how.

    Raises:
        ConfigurationError: if the folder holds a study of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=plan.warm_up),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=max(1, plan.warm_up)),
        "none": optuna.pruners.NopPruner,
    }
    storage = f"sqlite:///{folder.resolve() / FILE}"
    study = optuna.create_study(
        study_name=folder.name, storage=storage, load_if_exists=True, direction="maximize", pruner=pruners[plan.pruner]()
    )
    done = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=plan.seed + done)  # a resumed study does not draw the same again
    now = json.loads(json.dumps(dict(about)))
    before = study.user_attrs.get("about", now)
    if before != now:
        message = f"--out: {folder} holds a study of {before}, not {now}; name another folder"
        raise ConfigurationError(message)
    study.set_user_attr("about", now)
    _clear(study)
    return study


def _clear(study: optuna.Study) -> None:
    """Give up the trials that a kill cut, and try their parameters again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def search(study: optuna.Study, objective: Callable[[Trial], float], plan: Plan, tick: Callable[[], None]) -> None:
    """Run the trials that are missing.

    Args:
        study: of :func:`open_study`.
        objective: gives a trial's value, or raises `optuna.TrialPruned`.
        plan: how many trials there shall be in all; those cut by a kill do not count.
        tick: called after each trial.
    """
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    missing = plan.trials - len(study.get_trials(deepcopy=False, states=ended))
    if missing > 0:
        study.optimize(objective, n_trials=missing, callbacks=[lambda _study, _trial: tick()])


def summary(study: optuna.Study) -> dict[str, Any]:
    """What a study found: the best value and parameters, and each trial with its state, value, epochs and seconds."""
    trials = study.get_trials(deepcopy=False)
    best = study.best_trial if any(trial.state == TrialState.COMPLETE for trial in trials) else None
    return {
        "about": study.user_attrs["about"],
        "best": {"trial": best.number, "value": best.value, "parameters": best.params} if best else None,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value,
                "epochs": len(trial.intermediate_values),
                "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
                "parameters": trial.params,
            }
            for trial in trials
        ],
    }

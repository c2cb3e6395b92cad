"""Studies survive a kill, cut hopeless trials, and drive the real session training."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import Trial, TrialState

from contracts.errors import ConfigurationError
from training.finetune.recipe import Recipe
from training.search import pictures, spaces
from training.search.study import Plan, Pruning, open_study, search, summary
from training.sessions.data import read_sessions
from training.sessions.encoder import EncoderRecipe

ABOUT = {"kind": "toy"}
PLAN = Plan(trials=6)


def parabola(trial: Trial) -> float:
    return -((trial.suggest_float("x", -1, 1) - 0.3) ** 2)


def killed_in_the_third_trial(folder: Path) -> None:
    """What a child process runs: the kill comes after the trial has chosen its parameters."""

    def objective(trial: Trial) -> float:
        value = parabola(trial)
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    search(open_study(folder, ABOUT, PLAN), objective, PLAN, lambda: None)


def test_a_study_that_was_killed_goes_on_and_tries_the_cut_trial_again(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=killed_in_the_third_trial, args=(tmp_path / "toy",))
    child.start()
    child.join(200)  # it imports everything anew
    assert child.exitcode == -signal.SIGKILL
    study = open_study(tmp_path / "toy", ABOUT, PLAN)
    cut = study.get_trials()[2]
    assert [trial.state for trial in study.get_trials()[:3]] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    search(study, parabola, PLAN, lambda: None)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == PLAN.trials
    assert done[2].params == cut.params
    assert len({trial.params["x"] for trial in done}) == PLAN.trials, "a resumed study does not draw the same again"
    search(open_study(tmp_path / "toy", ABOUT, PLAN), parabola, PLAN, lambda: pytest.fail("a finished study has nothing to do"))
    with pytest.raises(ConfigurationError, match="another folder"):
        open_study(tmp_path / "toy", {"kind": "other"}, PLAN)


def test_a_hopeless_trial_is_cut_and_a_good_one_is_not(tmp_path: Path) -> None:
    plan = Plan(trials=8, warm_up=1)
    study = open_study(tmp_path / "study", ABOUT, plan)

    def objective(trial: Trial) -> float:
        level = float(trial.number if trial.number < 6 else 100 if trial.number == 6 else -100)
        trial.suggest_float("x", 0, 1)
        tracker = Pruning(trial, "good")
        for step in range(1, 6):
            tracker.scalars(step, {"good": level + step, "other": 0.0})
        return tracker.best

    search(study, objective, plan, lambda: None)
    trials = study.get_trials()
    assert (trials[6].state, trials[6].value) == (TrialState.COMPLETE, 105.0)
    assert trials[7].state == TrialState.PRUNED
    assert max(trials[7].intermediate_values) < 5


def test_the_session_encoder_is_searched_by_its_own_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    walks = [" ".join(str((start + step) % 30) for step in range(4)) for start in rng.integers(0, 30, 200)]
    for name, lines in (("train", walks), ("test", ["3\t1 2"])):
        with gzip.open(tmp_path / f"{name}.txt.gz", "wt") as stream:
            stream.write("\n".join(lines) + "\n")
    log, plan = read_sessions(tmp_path), Plan(trials=5, warm_up=1)
    study = open_study(tmp_path / "study", ABOUT, plan)
    values: list[float] = []
    recipe = EncoderRecipe(dim=8, fewest=2, most=2)
    search(study, spaces.sessions(spaces.newest(log, 100), recipe, values.append), plan, lambda: None)
    found = summary(study)
    json.dumps(found)
    assert len(found["trials"]) == 5
    assert found["best"]["value"] == max(value for value in values if value <= found["best"]["value"])
    assert set(found["best"]["parameters"]) == {"learning_rate", "dropout", "negatives", "targets"}
    pictures.draw(study, spaces.SESSION_FIGURE, tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 10_000


def test_what_is_searched_of_a_fine_tuning_follows_from_the_mode() -> None:
    for mode, names in (("frozen", set()), ("lora", {"adapter_rate", "rank"}), ("full", {"rate"})):
        trial = optuna.create_study().ask()
        chosen = spaces.finetune_recipe(trial, Recipe(mode=mode))  # type: ignore[arg-type]
        assert set(trial.params) == {"head_rate", "dropout", "batch"} | names
        assert all(getattr(chosen, name) == value for name, value in trial.params.items())

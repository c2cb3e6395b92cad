"""Plots of a study: how the best value rose, which parameters mattered, where the good values lie."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from optuna.trial import FrozenTrial, TrialState

mpl.use("Agg")

_DONE, _PRUNED, _BEST = "#3f7cac", "#cfd6dc", "#c8443f"


def _last(trial: FrozenTrial) -> float:
    """A trial's value; of a pruned one the last that it reported; not a number if it reported none."""
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return trial.value
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else math.nan


def draw(study: optuna.Study, figure_name: str, target: Path) -> None:
    """Draw history, curves, importances and a slice for each parameter into one picture.

    Args:
        study: with at least one finished trial.
        figure_name: what the value is.
        target: the PNG file.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if not math.isnan(_last(trial))]
    names = sorted({name for trial in trials for name in trial.params})
    columns = max(3, min(4, len(names)))
    rows = 1 + -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.1 * rows), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=[1, rows - 1], squeeze=False)
    above, below = parts[0, 0], parts[1, 0]
    history, curves, importances = above.subplots(1, 3)
    _history(history, trials, figure_name)
    _curves(curves, trials, figure_name)
    _importances(importances, study)
    grid = below.subplots(rows - 1, columns, squeeze=False).flatten()
    for place, (axis, name) in enumerate(zip(grid, names, strict=False)):
        _slice(axis, trials, name, figure_name if place % columns == 0 else "")
    for axis in grid[len(names) :]:
        axis.remove()
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(target, dpi=110)


def _history(axis: Axes, trials: list[FrozenTrial], name: str) -> None:
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    cut = [trial for trial in trials if trial.state != TrialState.COMPLETE]
    values = [trial.value or 0.0 for trial in done]
    axis.scatter([trial.number for trial in cut], [_last(trial) for trial in cut], s=18, color=_PRUNED, label="pruned")
    axis.scatter([trial.number for trial in done], values, s=18, color=_DONE, label="finished")
    best = [max(values[: place + 1]) for place in range(len(values))]
    axis.step([trial.number for trial in done], best, where="post", color=_BEST, label="best so far")
    axis.set_title("history", fontsize=10)
    axis.set_xlabel("trial", fontsize=8)
    axis.set_ylabel(name, fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _curves(axis: Axes, trials: list[FrozenTrial], name: str) -> None:
    best = max((trial for trial in trials if trial.state == TrialState.COMPLETE), key=lambda trial: trial.value or 0.0)
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        colour = _BEST if trial is best else _DONE if trial.state == TrialState.COMPLETE else _PRUNED
        values = [trial.intermediate_values[step] for step in steps]
        axis.plot(steps, values, color=colour, linewidth=1.8 if trial is best else 0.9, marker="." if len(steps) == 1 else "")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title("by epoch (grey: pruned)", fontsize=10)
    axis.set_xlabel("epoch", fontsize=8)
    axis.set_ylabel(name, fontsize=8)


def _importances(axis: Axes, study: optuna.Study) -> None:
    axis.set_title("importance of parameters (fANOVA)", fontsize=10)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        axis.text(0.5, 0.5, "needs four finished trials", ha="center", transform=axis.transAxes, fontsize=8)
        axis.set_axis_off()
        return
    shares = optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
    bars = axis.barh(list(shares)[::-1], list(shares.values())[::-1], color=_DONE)
    axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=3)
    axis.set_xlim(0, max(shares.values()) * 1.2)


def _slice(axis: Axes, trials: list[FrozenTrial], parameter: str, name: str) -> None:
    for cut in (True, False):
        chosen = [trial for trial in trials if parameter in trial.params and (trial.state != TrialState.COMPLETE) == cut]
        axis.scatter([trial.params[parameter] for trial in chosen], [_last(trial) for trial in chosen], s=18,
                     color=_PRUNED if cut else _DONE)  # fmt: skip
    scale = [trial.distributions[parameter] for trial in trials if parameter in trial.distributions]
    if getattr(scale[0], "log", False):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(parameter, fontsize=9)
    axis.set_ylabel(name, fontsize=8)

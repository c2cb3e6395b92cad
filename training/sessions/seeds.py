"""Runs of one log with several seeds as one set of figures: means, spread, and each seed's own."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

PER_SEED = ("seed", "models", "minutes", "curve", "blend_curve", "validation_targets_among_candidates")


def of_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of several seeds together.

    Args:
        runs: results of `training.sessions.evaluate.run`, of one log and one recipe but for the seed; at least one.

    Returns:
        The first run's figures, with `models` the mean over the seeds, `spread` their standard deviation (of a sample; 0 for a
        single seed) and `seeds` what differs between them, curves among it.
    """
    first = runs[0]
    models: dict[str, dict[str, float]] = {}
    spread: dict[str, dict[str, float]] = {}
    for name, figures in first["models"].items():
        values = {metric: [run["models"][name][metric] for run in runs] for metric in figures}
        models[name] = {metric: statistics.fmean(several) for metric, several in values.items()}
        spread[name] = {metric: statistics.stdev(several) if len(runs) > 1 else 0.0 for metric, several in values.items()}
    seeds = [{key: run[key] for key in PER_SEED} for run in runs]
    return {**first, "models": models, "spread": spread, "seeds": seeds}

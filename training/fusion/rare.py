"""Rare items level with the neighbours: how much their scores are lifted, and what that costs.

The likeliest order leaves items that were seen a few times behind. Among all orders that hit rare targets equally often, the
one that hits most targets in all multiplies the odds of every rare candidate by one constant (the Lagrangian of the
constraint): cheaper than places of the page that are reserved for rare items whether or not one of them is likely.

Shapes: N queries, Cn candidates, n items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fusion.blending import TOP_K, Candidates, Floats, fit, scores
from training.sessions.data import Ints
from training.sessions.metrics import summary
from training.sessions.rules import candidate_ranks

RARE = 5
"""Items seen fewer times than this are rare."""
MARGIN = 2.0
"""Standard errors by which rare items must be above the neighbours on validation queries: what holds there by a hair does not
hold later."""
STEP, MOST = 0.1, 4.0
"""Lifts that are tried, in nats."""


@dataclass(frozen=True)
class Lift:
    """What is added to the scores of rare candidates, nats, and what each smaller one was worth."""

    nats: float
    tried: list[dict[str, Any]]


def lifted(made: Candidates, found: Floats, counts: Ints, nats: float) -> Floats:
    """Scores [N, Cn] with those of rare candidates lifted.

    Args:
        made: candidates of N queries.
        found: their scores.
        counts: int64 [n], times that training saw each item.
        nats: how much.
    """
    return np.where(counts[np.maximum(made.items, 0)] < RARE, found + np.float32(nats), found)


def lift_for_rare(made: Candidates, targets: Ints, counts: Ints, seed: int = 0) -> Lift:
    """The least lift with which rare targets are found as often as by the neighbours, with a margin.

    Half of the queries are scored by a blend of the other half: a blend knows the queries that it was fitted to too well.

    Args:
        made: candidates of N validation queries.
        targets: int64 [N].
        counts: int64 [n], times that training saw each item.
        seed: of the halves and the blends.
    """
    found = _scores_by_the_other_half(made, targets, seed)
    rare = counts[np.maximum(targets, 0)] < RARE
    near = candidate_ranks(made.items, made.neighbours, targets)[rare]
    tried: list[dict[str, Any]] = []
    for number in range(round(MOST / STEP) + 1):
        nats = round(number * STEP, 3)
        ranks = candidate_ranks(made.items, lifted(made, found, counts, nats), targets)
        gain = (ranks[rare] <= TOP_K).astype(float) - (near <= TOP_K)
        error = float(gain.std() / np.sqrt(max(1, len(gain))))
        tried.append(
            {
                "nats": nats,
                **summary(ranks, TOP_K),
                "rare": summary(ranks[rare], TOP_K),
                "neighbours": summary(near, TOP_K),
                "rare above neighbours": float(gain.mean()) if len(gain) else 0.0,
                "standard error": error,
            }
        )
        if tried[-1]["rare above neighbours"] >= MARGIN * error:
            break
    return Lift(tried[-1]["nats"], tried)


def _scores_by_the_other_half(made: Candidates, targets: Ints, seed: int) -> NDArray[np.float32]:
    half = np.random.default_rng(seed).permutation(len(targets)) % 2
    found = np.empty(made.items.shape, np.float32)
    for one in (0, 1):
        inside = half == one
        blend = fit(made.pick(~inside), targets[~inside], seed=seed)
        found[inside] = scores(made.pick(inside), blend)
    return found

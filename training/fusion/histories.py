"""The tables for histories with content: quality, cold items, and quality by how often an item was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fusion.blending import Sources, fit, scores
from training.fusion.codes import Histories, hide_items
from training.fusion.content import ContentNeighbours
from training.fusion.learning import TOP, Course, ranks, train
from training.fusion.rare import RARE, lift_for_rare, lifted
from training.fusion.recipe import FusedRecipe
from training.sessions.data import Queries
from training.sessions.encoder_training import Tick, silent
from training.sessions.metrics import summary
from training.sessions.rules import by_row, candidate_ranks, item_cosine, recent, sparse_ranks, transitions

Ranks = NDArray[np.float64]
LIFTED = "blend, rare items lifted"
ROWS = (("ids",), ("text",), ("image",), ("ids", "text"), ("ids", "image"), ("text", "image"), ("ids", "text", "image"))
"""Modalities of the cold table."""
BUCKETS = (0, RARE, 10, 30, 100)
"""Least number of times that training saw the target."""


def neighbours(items: Histories, queries: Queries) -> Ranks:
    """Ranks by item-KNN: cosine of items by the histories that they share, plus transitions."""
    count = items.data.items
    table = item_cosine(items.data.fit, count) + by_row(transitions(items.data.fit, count))
    return sparse_ranks(recent(queries, count), table, queries, mask_seen=True)


def by_count(items: Histories, found: dict[str, Ranks]) -> list[dict[str, Any]]:
    """Recall of each method by how often training saw the target."""
    seen = items.counts[items.data.test.targets]
    rows = []
    for low, high in zip(BUCKETS, (*BUCKETS[1:], None), strict=True):
        inside = (seen >= low) & (seen < high) if high is not None else seen >= low
        if inside.any():
            recall = {name: float((place[inside] <= TOP).mean()) for name, place in found.items()}
            rows.append(
                {"seen": f"{low}–{high - 1}" if high is not None else f"{low}+", "targets": int(inside.sum()), **recall}
            )
    return rows


def quality(items: Histories, folder: Path, recipe: FusedRecipe, tick: Tick = silent) -> dict[str, Any]:
    """The main table: neighbours, encoder of ids alone and fused, and each of the two blended with the neighbours.

    The blend is fitted on the validation items, and how much rare items are lifted is found there; the test part is ranked
    once.

    Args:
        items: nothing hidden.
        folder: of the trainings.
        recipe: of the fused model.
        tick: told how far each stage is.
    """
    data = items.data
    found: dict[str, Ranks] = {"item-KNN": neighbours(items, data.test)}
    courses: dict[str, Course] = {}
    tried: dict[str, list[dict[str, Any]]] = {}
    for modalities in (("ids",), ("ids", "text", "image")):
        chosen = replace(recipe, modalities=modalities)
        model, courses[chosen.label] = train(items, folder / f"{chosen.label}-{chosen.seed}", chosen, tick)
        sources = Sources(items, model)
        made = sources.collect(data.validation, lambda share: tick("blend", share, ""))
        blend = fit(made, data.validation.targets, seed=recipe.seed)
        lift = lift_for_rare(made, data.validation.targets, items.counts, recipe.seed)
        tried[chosen.label] = lift.tried
        del made
        tests = sources.collect(data.test, lambda share: tick("test", share, ""))
        found[f"encoder, {chosen.label}"] = ranks(model, data.test)
        blended = scores(tests, blend)
        for name, values in (("blend", blended), (LIFTED, lifted(tests, blended, items.counts, lift.nats))):
            found[f"{name}, {chosen.label}"] = candidate_ranks(tests.items, values, data.test.targets)
        if "item-KNN, as in the blend" not in found:
            found["item-KNN, as in the blend"] = candidate_ranks(tests.items, tests.neighbours, data.test.targets)
        del tests
    return {
        "users": len(data.test),
        "items": data.items,
        "models": {name: summary(place, TOP) for name, place in found.items()},
        "by count": by_count(items, found),
        "lifts of rare items tried": tried,
        "curves": {name: course.curve for name, course in courses.items()},
        "training minutes": {name: round(course.seconds / 60, 2) for name, course in courses.items()},
    }


def cold(
    items: Histories, folder: Path, recipe: FusedRecipe, rows: Sequence[tuple[str, ...]] = ROWS, tick: Tick = silent
) -> dict[str, Any]:
    """The table of cold items: each row is a model of its own with these modalities, judged on hidden targets alone.

    `easy` ranks the target among the hidden items, `hard` among all. Chance is `TOP` by the number of candidates. Beside each
    model stand the content neighbours by the same modalities.

    Args:
        items: nothing hidden yet.
        folder: of the trainings.
        recipe: of the models.
        rows: modalities of each row.
        tick: told how far each stage is.
    """
    some = hide_items(items)
    queries = some.data.test.pick(np.flatnonzero(some.hidden[some.data.test.targets]))
    table: dict[str, dict[str, Any]] = {}
    for modalities in rows:
        chosen = replace(recipe, modalities=modalities)
        model, course = train(some, folder / f"cold-{chosen.label}-{chosen.seed}", chosen, tick)
        table[chosen.label] = {
            "easy": summary(ranks(model, queries, some.hidden), TOP),
            "hard": summary(ranks(model, queries), TOP),
            "minutes": round(course.seconds / 60, 2),
        }
        if modalities != ("ids",):
            near = ContentNeighbours(some, modalities)
            table[chosen.label]["content neighbours"] = {
                "easy": summary(near.ranks(queries, some.hidden), TOP),
                "hard": summary(near.ranks(queries), TOP),
            }
    chance = {"easy": TOP / int(some.hidden.sum()), "hard": TOP / items.data.items}
    return {"rows": table, "queries": len(queries), "hidden items": int(some.hidden.sum()), "chance": chance}

"""`vitrine train clicks`: behaviour vectors and session encoder from a table of clicks, without texts or pictures.

The table has the columns SessionId, ItemId and Time (seconds), tab-separated, with a header. Visits are the rows of one
session in the order of time. The last tenth of the visits is held out and only measured.
"""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.errors import ConfigurationError
from contracts.keys import item_key
from contracts.tensors import EventKind
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import FEATURES, WIDTH
from fusion.scorer import Scorer
from training.demo import Stage, next_version
from training.demo_baselines import co_visit_ranks, co_visits, count_views, popularity_ranks
from training.demo_clicks import SHORTEST, Visit, cut
from training.demo_metrics import recall_mrr
from training.demo_recommender import Recipe, Recommender, target_ranks, train_recommender

COLUMNS = ("SessionId", "ItemId", "Time")


@dataclass(frozen=True)
class ClicksRecipe:
    """Sizes of the run."""

    dim: int = 64
    held_out: float = 0.1
    recommender: Recipe = field(default_factory=lambda: Recipe(epochs=8, modality_dropout=0.0))
    seed: int = 0
    tenant: str = "default"


def read_table(path: Path, option: str = "--sessions") -> list[tuple[str, float, str]]:
    """Rows (session, seconds, item) in the order of the file.

    Args:
        path: the table, perhaps gzipped.
        option: of the command that names the file, for messages.

    Raises:
        ConfigurationError: if the file is missing or its header or a row is not as it should be.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            return _rows(lines, path, option)
    except FileNotFoundError as error:
        message = f"{option}: {path} does not exist"
        raise ConfigurationError(message) from error


def _rows(lines: TextIO | Iterable[str], path: Path, option: str) -> list[tuple[str, float, str]]:
    reader = csv.DictReader(lines, delimiter="\t")
    if reader.fieldnames is None or not set(COLUMNS) <= set(reader.fieldnames):
        message = f"{option}: {path} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}, tab-separated"
        raise ConfigurationError(message)
    rows: list[tuple[str, float, str]] = []
    for number, row in enumerate(reader, start=2):
        try:
            rows.append((row["SessionId"], float(row["Time"]), row["ItemId"]))
        except (TypeError, ValueError) as error:
            message = f"{option}: {path}, line {number}: Time is {row['Time']!r}, expected seconds"
            raise ConfigurationError(message) from error
    return rows


def read_visits(path: Path) -> tuple[list[Visit], list[str]]:
    """Visits in the order in which they began, and the items' ids by row.

    Raises:
        ConfigurationError: if the file is missing or its header or a row is not as it should be.
    """
    rows = sorted(read_table(path))
    sessions = [list(group) for _, group in groupby(rows, key=lambda row: row[0])]
    sessions.sort(key=lambda session: session[0][1])
    ids: dict[str, int] = {}
    visits = [
        cut([(ids.setdefault(item, len(ids)), int(EventKind.VIEW)) for _, _, item in session])
        for session in sessions
        if len(session) >= SHORTEST
    ]
    return visits, list(ids)


def train_clicks(path: Path, folder: Path, recipe: ClicksRecipe, stage: Stage) -> dict[str, Any]:
    """Train and save an artefact that serves by behaviour alone.

    Args:
        path: the table, perhaps gzipped.
        folder: where the artefact goes; its name is the folder's.
        recipe: sizes.
        stage: as in :func:`training.demo.train_demo`.

    Returns:
        The metrics, as in the manifest.

    Raises:
        ConfigurationError: if the table is missing, wrong, or holds fewer than ten visits.
    """
    began = time.perf_counter()
    torch.manual_seed(recipe.seed)
    visits, ids = read_visits(path)
    if len(visits) < 10:
        message = f"--sessions: {path} holds {len(visits)} visits of at least {SHORTEST} clicks, expected 10 or more"
        raise ConfigurationError(message)
    held = max(1, int(len(visits) * recipe.held_out))
    learned, tests = visits[:-held], visits[-held:]
    session = SessionConfig(dim=recipe.dim, input_scale=recipe.dim**0.5)
    made = artefacts.build(folder.name, FusionConfig(dim=recipe.dim), session, ScorerConfig(features=WIDTH))
    made.fusion.enabled.copy_(torch.tensor([0.0, 0.0, 1.0]))
    trust_query(made.scorer)
    sizes = made.fusion_config
    has = torch.zeros(len(ids), 3)
    counts = count_views(learned, len(ids))
    has[:, 2] = torch.from_numpy((counts > 0).astype(np.float32))
    nothing = torch.zeros(len(ids), sizes.text_width), torch.zeros(len(ids), sizes.image_width)
    model = Recommender(made.fusion, made.session, *nothing, has)
    known = counts > 0
    before = recall_mrr(_with_misses(target_ranks(model, tests, known)[0], tests))
    losses = train_recommender(model, learned, recipe.recommender, recipe.seed, _share(stage("learning visits", 1000)))
    made.keys = np.array([item_key(recipe.tenant, ids[row]) for row in np.flatnonzero(known)], dtype=np.int64)
    made.vectors = np.ascontiguousarray(model.behaviour.weight.detach().numpy()[known])
    made.metrics = {
        "next_item": {
            "before": before,
            "popularity": recall_mrr(popularity_ranks(counts, tests)),
            "co_visits": recall_mrr(co_visit_ranks(co_visits(learned, len(ids)), counts, tests)),
            "after": recall_mrr(_with_misses(target_ranks(model, tests, known)[0], tests)),
        },
        "losses": {"visits": losses},
        "seed": recipe.seed,
        "minutes": round((time.perf_counter() - began) / 60, 2),
        "visits": len(learned),
        "events": sum(len(visit) for visit in learned),
        "items": int(known.sum()),
    }
    made.version = next_version(folder)
    artefacts.save(made, folder)
    return made.metrics


def _with_misses(found: NDArray[np.float64], tests: list[Visit]) -> NDArray[np.float64]:
    """Ranks of all targets: one that training never saw cannot be found and counts as a miss."""
    targets = sum(len(visit) - 1 for visit in tests)
    return np.concatenate((found, np.full(targets - len(found), np.inf)))


def _share(tick: Callable[[], None]) -> Callable[[float, float], None]:
    """Turns the share that is done into ticks, 1,000 in all."""
    done = 0

    def advance(share: float, _: float) -> None:
        nonlocal done
        while done < int(share * 1000):
            done += 1
            tick()

    return advance


def trust_query(scorer: Scorer) -> None:
    """Order as the query does: a table of clicks has no pages, so there is nothing to learn a click probability from."""
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.zero_()
        for name in ("logit", "pointer"):
            scorer.linear.weight[0, FEATURES.index(name)] = 1.0
        scorer.linear.bias.fill_(-2.0)
        scorer.mean.zero_()
        scorer.mean[FEATURES.index("logit")] = 7.0
        scorer.scale.fill_(0.5)

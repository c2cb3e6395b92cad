"""The replay behind `benchmarks.continual`: first models, then each click ranked by all of them, then learned."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.continual.clicks import Click
from training.continual.gathering import SessionGatherer
from training.continual.growth import ItemRows
from training.continual.learner import ContinualRecipe, Learner, known_to
from training.continual.reservoir import Reservoir
from training.continual.streaming import SOURCES, StreamedCounts, StreamedEncoder, fit_mix, sources
from training.sessions.data import Ints, Queries, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.encoder_training import Tick
from training.sessions.metrics import summary
from training.small.tuning import Tuning, tune

Floats = NDArray[np.float32]
OLD_SHARE, MIX_QUERIES, DIM = 10, 800, 100


@dataclass
class First:
    """What three days of clicks have taught.

    Attributes:
        model: the encoder.
        encoder: its recipe.
        rows: of the items that it knows.
        sessions: that it learned from.
        old: the old slice, never taught.
        items: of the whole log, for arrays that do not grow.
        mix: weights of `SOURCES`.
        about: figures for the result.
    """

    model: SessionModel
    encoder: EncoderRecipe
    rows: ItemRows
    sessions: list[Ints]
    old: Queries
    items: int
    mix: Floats
    about: dict[str, Any]


def sessions_of(clicks: Sequence[Click]) -> list[tuple[str, ...]]:
    """Finished sessions of a whole log."""
    gatherer = SessionGatherer()
    return [session for click in clicks for session in gatherer.add(click)] + gatherer.rest()


def first_models(clicks: Sequence[Click], everything: Sequence[Click], seed: int, tick: Tick) -> First:
    """Teach the first models; one session in ten becomes the old slice, the newest tenth of the others fits the mixture."""
    rows = ItemRows()
    told = sessions_of(clicks)
    taught = [rows.take(session) for at, session in enumerate(told) if at % OLD_SHARE]
    old = prefixes_of([known for known in (rows.find(session) for session in told[::OLD_SHARE]) if (known >= 0).all()])
    held = taught[-len(taught) // 10 :]
    encoder = EncoderRecipe(dim=DIM, seed=seed)
    torch.manual_seed(seed)
    model = SessionModel(len(rows), encoder)
    how = Tuning(10, targets=512, learning_rate=4e-3, negatives=encoder.negatives, patience=2, seed=seed)

    def judge(candidate: SessionModel) -> float:
        tick("first model", 0.5, "")
        return sum(summary(encoder_ranks(candidate, prefixes_of(held), mask_seen=False), 20).values())

    epochs, losses = tune(model, taught[: -len(held)], how, None, judge)
    items = len({click.item for click in everything})
    mix = fitted_mix(model, taught[: -len(held)], held, items)
    tune(model, held, replace(how, epochs=1, learning_rate=1e-3))
    about = {
        "clicks": len(clicks),
        "sessions": len(taught),
        "items": len(rows),
        "items_of_the_whole_log": items,
        "epochs": epochs,
        "losses": losses,
        "old_slice_queries": len(old),
        "mix": dict(zip(SOURCES, mix.tolist(), strict=True)),
    }
    tick("first model", 1.0, f"{len(rows):,} items, {epochs} epochs")
    return First(model, encoder, rows, taught, old, items, mix, about)


def fitted_mix(model: SessionModel, taught: list[Ints], held: list[Ints], items: int) -> Floats:
    """Weights of the sources on sessions that none of them has seen."""
    counts = StreamedCounts(items, sum(map(len, taught)))
    counts.learn(taught)
    queries = prefixes_of(held)
    queries = queries.pick(np.random.default_rng(0).permutation(len(queries))[:MIX_QUERIES])
    logits = np.full((len(queries), items), -np.inf, dtype=np.float32)
    logits[:, : len(model.vectors)] = model.scores(queries.items, model.unit_vectors()).numpy()
    votes = np.stack([counts.votes([int(item) for item in row if item >= 0]) for row in queries.items])
    return fit_mix(sources(logits, votes, counts.trends()), queries.targets)


def rank_of(scores: Floats, target: int) -> float:
    """Rank of the target, ties at the middle; infinite if it has no score."""
    own = scores[target]
    if not np.isfinite(own):
        return float("inf")
    return float(1.0 + (scores > own).sum() + ((scores == own).sum() - 1) / 2.0)


class Replay:
    """Ranks each click by all systems, then lets the live ones learn.

    Args:
        first: the models of the first days.
        recipe: of the updates.
    """

    def __init__(self, first: First, recipe: ContinualRecipe) -> None:
        self.first = first
        self.rows = ItemRows(keys=dict(first.rows.keys))
        reservoir = Reservoir(50_000)
        reservoir.add(first.sessions)
        self.learner = Learner(first.model, first.encoder, recipe, self.rows, first.old, reservoir)
        clicks = sum(map(len, first.sessions))
        self.frozen, self.live = (StreamedEncoder(first.model, first.items) for _ in range(2))
        self.still, self.moving = (StreamedCounts(first.items, clicks) for _ in range(2))
        for counts in (self.still, self.moving):
            counts.learn(first.sessions)
        self.still_trends = self.still.trends()
        self.ranks: dict[str, list[float]] = defaultdict(list)
        self.times: list[int] = []
        self._spent: dict[str, list[float]] = defaultdict(list)
        self._gatherer = SessionGatherer()
        self._prefixes: dict[str, list[int]] = {}

    def click(self, click: Click) -> None:
        """One click: rank it if the visitor clicked before, then learn."""
        row = int(self.rows.take([click.item])[0])
        prefix = self._prefixes.setdefault(click.visitor, [])
        if prefix:
            self._rank(click, prefix, row)
        started = time.perf_counter()
        self.live.tell(click.visitor, row)
        self.moving.trend.add(row)
        self._spent["learn"].append(time.perf_counter() - started)
        self.frozen.tell(click.visitor, row)
        prefix.append(row)
        finished = self._gatherer.add(click)
        for session in finished:
            self.moving.neighbours.add(self.rows.find(session).tolist())
        update = self.learner.add(finished, click.time)
        if update is not None and update.published:
            self.live.use(self.learner.model)

    def _rank(self, click: Click, prefix: list[int], row: int) -> None:
        spent, tick = self._spent, time.perf_counter
        start = tick()
        logits = self.live.ask(click.visitor)
        encoded = tick()
        votes = self.moving.votes(prefix)
        voted = tick()
        trends = self.moving.trends()
        mixed = sources(logits, votes, trends) @ self.first.mix
        done = tick()
        spent["encoder"].append(encoded - start)
        spent["neighbours"].append(voted - encoded)
        spent["trend and mixture"].append(done - voted)
        spent["all of it"].append(done - start)
        old_logits, old_votes = self.frozen.ask(click.visitor), self.still.votes(prefix)
        scores = {
            "encoder, frozen": old_logits,
            "encoder, continual": logits,
            "neighbours, frozen": np.where(old_votes > 0, old_votes, -np.inf),
            "neighbours, live": np.where(votes > 0, votes, -np.inf),
            "trend, frozen": self.still_trends[:, :2].sum(axis=1),
            "trend, live": trends[:, :2].sum(axis=1),
            "mixture, frozen": sources(old_logits, old_votes, self.still_trends) @ self.first.mix,
            "mixture, live": mixed,
        }
        for name, values in scores.items():
            self.ranks[name].append(rank_of(values, row))
        self.times.append(click.time)

    def words(self) -> str:
        """How it stands."""
        found = {name: np.mean(np.array(self.ranks[name]) <= 20) for name in ("encoder, frozen", "encoder, continual")}
        published = sum(update.published for update in self.learner.updates)
        updates = f"{published} of {len(self.learner.updates)} updates published"
        return ", ".join([*(f"{name} {value:.4f}" for name, value in found.items()), updates])

    def old_slice(self) -> dict[str, Any]:
        """Figures on the old slice before and after."""
        figures: dict[str, Any] = {
            name: summary(encoder_ranks(model, known_to(model, self.first.old), mask_seen=False), 20)
            for name, model in (("frozen", self.first.model), ("continual", self.learner.model))
        }
        figures["relative_change"] = figures["continual"]["recall@20"] / figures["frozen"]["recall@20"] - 1.0
        return figures

    def microseconds(self) -> dict[str, Any]:
        """p50 and p99 of one event's parts, and events a second, on this machine as it was."""
        figures: dict[str, Any] = {
            name: {
                "p50": round(float(np.percentile(values, 50) * 1e6), 1),
                "p99": round(float(np.percentile(values, 99) * 1e6), 1),
            }
            for name, values in self._spent.items()
        }
        whole = sum(self._spent["all of it"]) + sum(self._spent["learn"])
        figures["events_per_second"] = round(len(self._spent["learn"]) / whole, 1)
        return figures

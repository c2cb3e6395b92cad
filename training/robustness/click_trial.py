"""Quality under chance clicks in the prefix, and under bots in the training log with and without the filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.neighbours import SessionNeighbours
from training.robustness.bots import BotFilter
from training.robustness.wrong_clicks import boosters, crawlers, mixed_in, with_chance_clicks
from training.sessions.data import Ints, Queries, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.metrics import summary
from training.sessions.rules import by_row, item_cosine, neighbour_ranks, recent, sparse_ranks, transitions
from training.small.tuning import Tuning, tune

Step = Callable[[str], None]
DIM, TOP = 64, 100


@dataclass(frozen=True)
class Log:
    """Sessions to learn from, queries to judge by, and n."""

    sessions: list[Ints]
    queries: Queries
    items: int


def cut_out(full: Sequence[Ints], train: int, tests: int, queries: int, seed: int) -> Log:
    """The newest sessions of a log: `train` to learn from, then `tests` to ask; rows of the items that the former know."""
    newest = list(full[-(train + tests) :])
    known = np.unique(np.concatenate(newest[:train]))
    rows = np.full(int(max(known.max(), *(session.max() for session in newest))) + 1, -1, dtype=np.int64)
    rows[known] = np.arange(len(known))
    asked = prefixes_of([found for session in newest[train:] if len(found := rows[session][rows[session] >= 0]) > 1])
    picked = np.sort(np.random.default_rng(seed).permutation(len(asked))[:queries])
    return Log([rows[session] for session in newest[:train]], asked.pick(picked), len(known))


@dataclass
class Learned:
    """Three methods that have learned from the same sessions."""

    model: SessionModel
    neighbours: SessionNeighbours
    cosine: object

    @classmethod
    def from_sessions(cls, sessions: Sequence[Ints], items: int, epochs: int, seed: int) -> Learned:
        """Teach the encoder, index the neighbours, count item-KNN."""
        torch.manual_seed(seed)
        model = SessionModel(items, EncoderRecipe(dim=DIM, seed=seed))
        tune(model, sessions, Tuning(epochs, targets=512, learning_rate=4e-3, negatives=2048, seed=seed))
        neighbours = SessionNeighbours(items)
        for session in sessions:
            neighbours.add(session.tolist())
        return cls(model, neighbours, item_cosine(sessions, items) + by_row(transitions(sessions, items)))

    def ranks(self, queries: Queries) -> dict[str, NDArray[np.float64]]:
        """Ranks of the targets by each method."""
        near, votes = self.neighbours.look_up(queries.items, TOP)
        return {
            "encoder": encoder_ranks(self.model, queries, mask_seen=False),
            "session neighbours": neighbour_ranks(near, votes, queries, mask_seen=False),
            "item-KNN": sparse_ranks(recent(queries, len(self.model.vectors)), self.cosine, queries, mask_seen=False),
        }

    def shown(self, queries: Queries, item: int) -> dict[str, float]:
        """Share of the queries to whose answer's first 20 an item belongs."""
        asked = Queries(queries.items, np.full(len(queries), item))
        return {name: float((found <= 20).mean()) for name, found in self.ranks(asked).items()}


def chance_clicks(log: Log, learned: Learned, step: Step, seed: int = 0) -> list[dict[str, object]]:
    """Figures by share of chance clicks in the prefixes."""
    rows: list[dict[str, object]] = []
    for share in (0.0, 0.1, 0.2, 0.5):
        step(f"chance clicks {share:.0%}")
        noisy = with_chance_clicks(log.queries, share, log.items, np.random.default_rng(seed)) if share else log.queries
        rows.append({"share": share, "models": {name: summary(found, 20) for name, found in learned.ranks(noisy).items()}})
    return rows


def bots(log: Log, clean: Learned, epochs: int, step: Step, shares: Sequence[float] = (0.01, 0.05, 0.10)) -> dict[str, object]:
    """Figures by share of bot sessions in the log, unfiltered and filtered; half of the bots crawl, half boost an item."""
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate(log.sessions), minlength=log.items)
    boosted, victims = int(np.argsort(counts, kind="stable")[log.items // 4]), np.argsort(-counts)[:20].tolist()
    step("bots: none")
    filtered = BotFilter.learn(log.sessions)
    people = len(filtered.without_bots(log.sessions)) / len(log.sessions)
    rows: list[dict[str, object]] = [_figures(0.0, "", clean, log, boosted)]
    for share in shares:
        count = max(2, round(share / (1 - share) * len(log.sessions)))
        made = crawlers(count // 2, log.items, rng) + boosters(count - count // 2, victims, boosted, rng)
        sessions, label = mixed_in(log.sessions, made, rng)
        believed = BotFilter.learn(sessions)
        flagged = np.array([believed.is_bot(session) for session in sessions])
        caught = float(flagged[label == 1].mean())
        for name, taught in (("", sessions), ("filtered", believed.without_bots(sessions))):
            step(f"bots: {share:.0%} {name}")
            row = _figures(share, name, Learned.from_sessions(taught, log.items, epochs, 0), log, boosted)
            rows.append(row | {"bots_caught": caught, "people_lost": float(flagged[label == 0].mean())})
    return {"boosted_item_clicks": int(counts[boosted]), "people_kept_without_bots": people, "rows": rows}


def _figures(share: float, filtered: str, learned: Learned, log: Log, boosted: int) -> dict[str, object]:
    return {
        "share": share,
        "filter": filtered,
        "models": {name: summary(found, 20) for name, found in learned.ranks(log.queries).items()},
        "boosted_shown": learned.shown(log.queries, boosted),
    }

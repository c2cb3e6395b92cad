"""Simulated shoppers who get pages: the logged pages that the ranker learns from, and the trial that compares rankings.

Shapes: G shoppers at a time, K places of a page, n items, S state, W ring, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.features import ItemFacts, ItemTable, SessionRows, candidate_features, fact_columns
from fusion.scorer import Scorer, WeightedScorer
from fusion.session import SessionEncoder
from shop.shoppers import Decision, Shopper
from shop.taste import Shelf
from training.demo_clicks import KIND_OF
from training.demo_recommender import Recommender

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Choice = Callable[["Crowd", Ints], Ints]

PLACES = 12
MATCHES = 96  # candidates by the encoder's query, as in serving
POPULAR = 16


@dataclass(frozen=True)
class PageLog:
    """Pages that shoppers saw, P of them.

    Attributes:
        features: float32 [P, K, F].
        clicked: float32 [P, K], 1 at the place that was clicked.
        views: views in all, on pages or elsewhere.
        later: float32 [P, K] by head of the ranker, what came of a click: 1 where the product went into the cart or was
            bought in the same visit; for `dwell` the seconds on its page, NaN where nobody was there.
    """

    features: Floats
    clicked: Floats
    views: int
    later: dict[str, Floats] = field(default_factory=dict)


def item_table(model: Recommender, facts: list[ItemFacts]) -> ItemTable:
    """The table that features are made from, as serving builds it from embedding records."""
    with torch.no_grad():
        made = model.items()
    columns = fact_columns(facts)
    return ItemTable(made.fused.numpy(), made.text.numpy(), made.image.numpy(), made.behaviour.numpy(), **columns)


class Crowd:
    """Shoppers in step, with their session states.

    Args:
        model: the recommender.
        items: its item table.
        shelf: the products, same order.
        shoppers: G of them.
        seed: of the pages' chance.
    """

    def __init__(self, model: Recommender, items: ItemTable, shelf: Shelf, shoppers: list[Shopper], seed: int) -> None:
        self.items = items
        self.shelf = shelf
        self.shoppers = shoppers
        self.rng = np.random.default_rng(seed)
        self._session: SessionEncoder = model.session
        self._ring_width = model.session.config.ring
        self.state = model.session.initial_state(len(shoppers))
        self.ring: Ints = np.full((len(shoppers), self._ring_width), -1, np.int64)
        self.popular: Ints = np.argsort(-np.where(shelf.is_open, items.popularity, -1.0), kind="stable")[:200]
        self.sessions = SessionRows(*(np.zeros((0, 0), np.float32),) * 2, ring=self.ring, events=np.zeros(0, np.float32))
        self.scores: Floats = np.zeros((0, 0), np.float32)

    @torch.no_grad()
    def look(self) -> None:
        """Query every session; fills `sessions` and `scores` [G, n], -inf for what may not be shown."""
        ring = torch.from_numpy(np.maximum(self.ring, 0))
        mask = torch.from_numpy((self.ring >= 0).astype(np.float32))
        query, pointer = self._session.query(self.state, torch.from_numpy(self.items.fused)[ring], mask)
        self.sessions = SessionRows(query.numpy(), pointer.numpy(), self.ring, self.state[:, -1].numpy().copy())
        self.scores = query.numpy() @ self.items.fused.T
        for row, shopper in enumerate(self.shoppers):
            for place in reversed(range(self._ring_width)):
                if self.ring[row, place] >= 0 and self.ring[row, place] not in self.ring[row, :place]:
                    self.scores[row, self.ring[row, place]] += self.sessions.pointer[row, place]
            self.scores[row, list(shopper.gone)] = -np.inf
        self.scores[:, ~self.shelf.is_open] = -np.inf

    @torch.no_grad()
    def apply(self, decisions: list[Decision | None]) -> None:
        """Advance the states by what the shoppers did; who left begins anew with an empty state."""
        for row, decision in enumerate(decisions):
            if decision is None:
                self.state[row] = 0.0
                self.ring[row] = -1
                continue
            kind = KIND_OF.get(decision.action)
            for item in decision.rows if kind is not None else ():
                x = torch.from_numpy(self.items.fused[item : item + 1])
                self.state[row] = self._session.step(self.state[row : row + 1], x, torch.tensor([int(kind or 0)]))[0]
                self.ring[row] = np.concatenate(([item], self.ring[row, :-1]))


def explore(crowd: Crowd, rows: Ints) -> Ints:
    """Pages to learn from: likely items, popular ones and some at random, in random order, [G', K]."""
    noise = crowd.rng.gumbel(size=(len(rows), crowd.scores.shape[1])) * 1.5
    likely = np.argsort(-(crowd.scores[rows] + noise), axis=1)[:, : PLACES - 3]
    pages = []
    for page in likely:
        others = np.concatenate(
            (crowd.rng.choice(crowd.popular[:40], 6, replace=False), crowd.rng.permutation(crowd.scores.shape[1])[:9])
        )
        extra = [item for item in others if item not in page and crowd.shelf.is_open[item]]
        extra = [*extra[:2], extra[-1]]
        pages.append(crowd.rng.permutation(np.concatenate((page, extra))))
    return np.stack(pages)


def by_popularity(crowd: Crowd, rows: Ints) -> Ints:
    """The same popular items for everybody, but for what may not be shown."""
    allowed = np.isfinite(crowd.scores[rows][:, crowd.popular])
    return np.stack([crowd.popular[mask][:PLACES] for mask in allowed])


def by_query(crowd: Crowd, rows: Ints) -> Ints:
    """The best matches of the encoder's query; popular items for those of whom nothing is known."""
    pages = np.argsort(-crowd.scores[rows], axis=1, kind="stable")[:, :PLACES]
    return np.where(crowd.ring[rows, :1] >= 0, pages, by_popularity(crowd, rows))


def by_scorer(scorer: Scorer | WeightedScorer) -> Choice:
    """The candidates of the query and popular ones, ordered by the ranker's click probability or the weighted objectives."""

    def choose(crowd: Crowd, rows: Ints) -> Ints:
        candidates = ranker_candidates(crowd, rows)
        features = candidate_features(rows_of(crowd.sessions, rows), crowd.items, candidates)
        with torch.no_grad():
            scores = scorer(torch.from_numpy(features.reshape(-1, features.shape[-1]))).numpy().reshape(candidates.shape)
        scores = np.where(np.isfinite(np.take_along_axis(crowd.scores[rows], candidates, axis=1)), scores, -1.0)
        picked = np.take_along_axis(candidates, np.argsort(-scores, axis=1, kind="stable"), axis=1)
        return np.stack([np.array(list(dict.fromkeys(page.tolist()))[:PLACES]) for page in picked])

    return choose


def ranker_candidates(crowd: Crowd, rows: Ints) -> Ints:
    """Rows [G', N] that the ranker orders; an item that came from both sources is there twice."""
    matches = np.argsort(-crowd.scores[rows], axis=1, kind="stable")[:, :MATCHES]
    popular = np.broadcast_to(crowd.popular[:MATCHES], (len(rows), MATCHES))
    known = crowd.ring[rows, :1] >= 0
    return np.concatenate((np.where(known, matches, popular), popular[:, :POPULAR]), axis=1)


def rows_of(sessions: SessionRows, rows: Ints) -> SessionRows:
    """Some of the sessions."""
    return SessionRows(sessions.query[rows], sessions.pointer[rows], sessions.ring[rows], sessions.events[rows])


def run_pages(crowd: Crowd, steps: int, choose: Choice, tick: Callable[[], None]) -> PageLog:
    """Let the crowd act `steps` times each, every time in reply to a page.

    Args:
        crowd: shoppers, just arrived.
        steps: decisions of each shopper.
        choose: the policy that fills the pages.
        tick: called after each step.
    """
    everyone = np.arange(len(crowd.shoppers))
    features: list[Floats] = []
    clicked: list[Floats] = []
    views = 0
    later: dict[str, list[Floats]] = {"cart": [], "purchase": []}
    came_by: list[dict[int, tuple[int, int]]] = [{} for _ in everyone]  # of each shopper: product to page and place
    for _ in range(steps):
        crowd.look()
        pages = choose(crowd, everyone)
        decisions = [shopper.decide(page.tolist()) for shopper, page in zip(crowd.shoppers, pages, strict=True)]
        made = candidate_features(crowd.sessions, crowd.items, pages)
        for row, decision in enumerate(decisions):
            _credit(decision, came_by[row], later)
            if decision is None or decision.action not in {"view", "click", "dismiss"}:
                continue  # this visitor did not look at the page
            outcome = np.zeros(PLACES, np.float32)
            if decision.action == "click":
                outcome[decision.position or 0] = 1.0
                came_by[row][decision.rows[0]] = len(clicked), decision.position or 0
            views += decision.action != "dismiss"
            features.append(made[row])
            clicked.append(outcome)
            for labels in later.values():
                labels.append(np.zeros(PLACES, np.float32))
        crowd.apply(decisions)
        tick()
    return PageLog(np.stack(features), np.stack(clicked), views, {name: np.stack(labels) for name, labels in later.items()})


def _credit(decision: Decision | None, came_by: dict[int, tuple[int, int]], later: dict[str, list[Floats]]) -> None:
    """Mark a cart or a purchase at the place of the page whose click led to it, if one did in this visit."""
    if decision is None:
        came_by.clear()
    elif decision.action in later:
        for item in decision.rows:
            if item in came_by:
                page, place = came_by[item]
                later[decision.action][page][place] = 1.0

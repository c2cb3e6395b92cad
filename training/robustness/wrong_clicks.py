"""Clicks that no shopper meant: chance clicks in a prefix, and two kinds of bots in the log. Pure but for the generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.sessions.data import Ints, Queries, pad


def with_chance_clicks(queries: Queries, share: float, items: int, rng: np.random.Generator) -> Queries:
    """Prefixes with clicks on any item put in anywhere, so many that they are `share` of the clicks on average.

    Raises:
        ValueError: if `share` is not in 0 to 1, 1 excluded.
    """
    if not 0.0 <= share < 1.0:
        message = f"share is {share}, expected 0 up to but not 1"
        raise ValueError(message)
    prefixes = []
    for row in queries.items:
        own = row[row >= 0]
        extra = int(rng.binomial(len(own) * 10, min(1.0, share / (1.0 - share) / 10)))
        places = np.sort(rng.integers(0, len(own) + 1, extra))
        prefixes.append(np.insert(own, places, rng.integers(0, items, extra)))
    return pad(prefixes, queries.targets.tolist())


def crawlers(count: int, items: int, rng: np.random.Generator, clicks: int = 150) -> list[Ints]:
    """Bots that open one product after the other, in the order of the catalogue, from anywhere; `clicks` each."""
    starts = rng.integers(0, items, count)
    return [(start + np.arange(clicks)) % items for start in starts]


def boosters(count: int, victims: Sequence[int], boosted: int, rng: np.random.Generator, clicks: int = 40) -> list[Ints]:
    """Bots that go to and fro between popular items and the one that they want to be shown; `clicks` each."""
    sessions = []
    for _ in range(count):
        session = np.full(clicks, boosted, dtype=np.int64)
        session[::2] = rng.choice(np.asarray(victims, dtype=np.int64), len(session[::2]))
        sessions.append(session)
    return sessions


def mixed_in(sessions: Sequence[Ints], bots: Sequence[Ints], rng: np.random.Generator) -> tuple[list[Ints], Ints]:
    """Sessions and bots in chance order; and 1 where a bot is, int64."""
    both = [*sessions, *bots]
    label = np.concatenate((np.zeros(len(sessions), np.int64), np.ones(len(bots), np.int64)))
    order = rng.permutation(len(both))
    return [both[at] for at in order], label[order]

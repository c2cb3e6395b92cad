"""Changed copies of sessions that mean the same: crop, mask, reorder (CL4SRec, Xie et al., 2022); pure but for the draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Augment = Callable[[Sequence[Ints], np.random.Generator], list[Ints]]
"""From the sessions of an epoch to those that it learns from."""
SHORTEST = 2


def crop(session: Ints, rng: np.random.Generator, least: float = 0.6) -> Ints:
    """A run of neighbouring clicks, at least this share of them and never fewer than two."""
    if len(session) <= SHORTEST:
        return session
    shortest = max(SHORTEST, int(np.ceil(least * len(session))))
    length = int(rng.integers(shortest, len(session) + 1))
    start = int(rng.integers(0, len(session) - length + 1))
    return session[start : start + length]


def mask(session: Ints, rng: np.random.Generator, chance: float = 0.2) -> Ints:
    """The clicks that are left when each is lost with a chance; at least two stay, in their order."""
    if len(session) <= SHORTEST:
        return session
    noise = rng.random(len(session))
    kept = noise >= chance
    kept[np.argsort(-noise, kind="stable")[:SHORTEST]] = True
    return session[kept]


def reorder(session: Ints, rng: np.random.Generator, share: float = 0.3) -> Ints:
    """The same clicks with one run of this share of them in another order."""
    length = max(2, round(share * len(session)))
    if len(session) <= length:
        return session
    start = int(rng.integers(0, len(session) - length + 1))
    result = session.copy()
    result[start : start + length] = rng.permutation(session[start : start + length])
    return result


_CHANGES = (crop, mask, reorder)


def half_changed(sessions: Sequence[Ints], rng: np.random.Generator, chance: float = 0.5) -> list[Ints]:
    """As many sessions as came, each with this chance in one of the three changed forms; an epoch costs what it did."""
    which = np.where(rng.random(len(sessions)) < chance, rng.integers(0, len(_CHANGES), len(sessions)), -1)
    return [session if change < 0 else _CHANGES[change](session, rng) for session, change in zip(sessions, which, strict=True)]

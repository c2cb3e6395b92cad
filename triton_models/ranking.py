"""What rankings have in common: sessions and their pages in, scored candidates out.

Shapes: B sessions, W ring, N candidates, D width, S state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import Voice
from triton_models.index import Floats, Ints
from triton_models.views import View


@dataclass(frozen=True)
class Sessions:
    """Sessions after their new events.

    Attributes:
        state: [B, S].
        ring: int64 [B, W] rows, newest first, -1 where empty.
        query: [B, D], times tau.
        pointer: [B, W], added to the logits of the ring's items.
    """

    state: Floats
    ring: Ints
    query: Floats
    pointer: Floats

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[B] whether a session has touched anything that we know."""
        return np.asarray((self.ring >= 0).any(axis=1))

    def pick(self, rows: Ints) -> Sessions:
        """Some of the sessions."""
        return Sessions(self.state[rows], self.ring[rows], self.query[rows], self.pointer[rows])


@dataclass(frozen=True)
class Pages:
    """What the pages of B sessions may hold.

    Attributes:
        tenants: tenant keys.
        views: who may answer.
        excluded: arrays of rows.
        seeds: of the exploration.
        is_reduced: whether less work is asked for; the same for all.
    """

    tenants: Sequence[int]
    views: Sequence[View]
    excluded: Sequence[Ints]
    seeds: Sequence[int]
    is_reduced: bool = False

    def pick(self, rows: Ints) -> Pages:
        """Those of some of the sessions."""
        chosen = rows.tolist()
        return Pages(
            [self.tenants[row] for row in chosen],
            [self.views[row] for row in chosen],
            [self.excluded[row] for row in chosen],
            [self.seeds[row] for row in chosen],
            self.is_reduced,
        )


@dataclass(frozen=True)
class Ranked:
    """Scored candidates of B sessions, in no order.

    Attributes:
        rows: int64 [B, N], rows of the item table.
        sources: int32 [B, N], `contracts.tensors.Candidate`.
        is_there: [B, N], whether there is a candidate.
        scores: [B, N], 0 to 1.
        logits: [B, N], query times vector.
        voices: [B, N, 4] share of each `contracts.tensors.Voice`, zeros where nothing was learned.
    """

    rows: Ints
    sources: NDArray[np.int32]
    is_there: NDArray[np.bool_]
    scores: Floats
    logits: Floats
    voices: Floats


class Ranking(Protocol):
    """Finds and scores the candidates of sessions; a session's bits do not depend on the others."""

    def rank(self, sessions: Sessions, pages: Pages) -> Ranked:
        """Candidates of every session."""
        ...


def merged(batch: int, parts: Sequence[tuple[Ints, Ranked]]) -> Ranked:
    """One answer of several, each with the rows that it is for; the narrower ones are filled up with nothing."""
    width = max(part.rows.shape[1] for _, part in parts)
    whole = Ranked(
        rows=np.zeros((batch, width), np.int64),
        sources=np.zeros((batch, width), np.int32),
        is_there=np.zeros((batch, width), np.bool_),
        scores=np.zeros((batch, width), np.float32),
        logits=np.zeros((batch, width), np.float32),
        voices=np.zeros((batch, width, len(Voice)), np.float32),
    )
    for rows, part in parts:
        for field in fields(Ranked):
            getattr(whole, field.name)[rows, : part.rows.shape[1]] = getattr(part, field.name)
    return whole

"""Which items are ranked for a session: matches of its query, what it touched, what is popular, and something new.

Shapes: B sessions, N candidates of each, W ring, C capacity of the item table.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import MAX_ANSWERS, Candidate
from triton_models.views import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triton_models.index import Floats, Ints
    from triton_models.items import LiveItems
    from triton_models.ranking import Pages, Sessions

MATCHES = 64
POPULAR = 16
EXPLORATION = 3
WIDTH = 108  # N: the same for every row, so that a row's bits do not depend on how many candidates others have
REDUCED_WIDTH = 36  # N where the caller asks for less work: three for each of a page's twelve places


@dataclass(frozen=True)
class Candidates:
    """Candidates of B sessions.

    Attributes:
        rows: int64 [B, N], rows of the item table; 0 after the last.
        sources: int32 [B, N], `contracts.tensors.Candidate`.
        counts: int64 [B], how many of the N there are.
    """

    rows: Ints
    sources: NDArray[np.int32]
    counts: Ints


def reduced(candidates: Candidates) -> Candidates:
    """The first `REDUCED_WIDTH` of each session: of a known one its best matches."""
    return Candidates(
        candidates.rows[:, :REDUCED_WIDTH], candidates.sources[:, :REDUCED_WIDTH], np.minimum(candidates.counts, REDUCED_WIDTH)
    )


def session_seed(state: Floats, ring: Ints) -> int:
    """A number that is the same for the same session content, whoever the visitor is; `ring` holds item keys."""
    return zlib.crc32(ring.tobytes(), zlib.crc32(state.tobytes()))


def pick_new(cold: Ints, seed: int, count: int = EXPLORATION) -> Ints:
    """At most `count` different rows out of `cold`, chosen by `seed` alone: over many sessions every one has its turn."""
    if len(cold) <= count:
        return cold
    stride = 1 + (seed >> 16) % max(1, len(cold) // count)
    return cold[(seed + stride * np.arange(count)) % len(cold)]


class Suggested(NamedTuple):
    """What session neighbours suggest to B sessions.

    Attributes:
        rows: int64 [B, M] rows of the item table, best first, -1 after the last.
        evidence: [B, M] how much speaks for each, 0 to 1.
        most: how many of them become candidates beside those that are candidates anyway.
    """

    rows: Ints
    evidence: Floats
    most: int


class Part(NamedTuple):
    """What one source brings: distinct rows, best first, and how many of them at most."""

    rows: Ints
    source: Candidate
    most: int


def _distinct(rows: Ints) -> Ints:
    """The first of each, in order."""
    return np.array(list(dict.fromkeys(rows.tolist())), np.int64)


def _neighbours(suggested: Suggested | None, row: int, view: View) -> Part:
    """The part of the session neighbours: what they suggest and the view allows."""
    if suggested is None:
        return Part(np.zeros(0, np.int64), Candidate.SESSION_NEIGHBOURS, 0)
    rows = suggested.rows[row][suggested.rows[row] >= 0]
    return Part(rows[view.mask[rows]], Candidate.SESSION_NEIGHBOURS, suggested.most)


class Collector:
    """Puts the sources of each session together; keeps its scratch memory between calls.

    Args:
        items: the live catalogue.
    """

    def __init__(self, items: LiveItems) -> None:
        self._items = items
        self._taken = np.zeros(0, np.bool_)

    def collect(self, sessions: Sessions, pages: Pages, suggested: Suggested | None = None) -> Candidates:
        """Candidates of every session, none twice and none excluded; who touched nothing that we know gets what is popular.

        Args:
            sessions: B sessions.
            pages: B pages.
            suggested: what session neighbours add, if anything was learned.
        """
        queries, ring, views, excluded, seeds = sessions.query, sessions.ring, pages.views, pages.excluded, pages.seeds
        is_known = sessions.is_known
        batch = len(queries)
        found = Candidates(np.zeros((batch, WIDTH), np.int64), np.zeros((batch, WIDTH), np.int32), np.zeros(batch, np.int64))
        known = np.flatnonzero(is_known).tolist()
        matches = self._items.search(queries[known], MATCHES, [views[row] for row in known], [excluded[row] for row in known])
        matched = dict(zip(known, matches, strict=True))
        if len(self._taken) != self._items.capacity:
            self._taken = np.zeros(self._items.capacity, np.bool_)
        for row in range(batch):
            view = views[row]
            new = Part(pick_new(view.cold, seeds[row]), Candidate.EXPLORATION, EXPLORATION)
            if row not in matched:
                self._fill(found, row, (Part(view.popular, Candidate.POPULAR, MAX_ANSWERS), new), excluded[row])
                continue
            best = matched[row]
            touched = _distinct(ring[row][ring[row] >= 0])
            parts = (
                Part(best[best >= 0], Candidate.ANN_FUSED, MATCHES),
                Part(touched[view.mask[touched]], Candidate.RECENT, len(touched)),
                _neighbours(suggested, row, view),
                Part(view.popular, Candidate.POPULAR, POPULAR),
                new,
            )
            self._fill(found, row, parts, excluded[row])
            found.sources[row][(found.rows[row][:, None] == touched).any(axis=1)] = Candidate.RECENT
        return found

    def _fill(self, found: Candidates, row: int, parts: Sequence[Part], excluded: Ints) -> None:
        """One session's row: the parts in order, without what an earlier part brought or what is excluded."""
        taken, rows, sources = self._taken, found.rows[row], found.sources[row]
        taken[excluded] = True
        end = 0
        for part in parts:
            fresh = part.rows[: part.most + len(excluded) + end]
            fresh = fresh[~taken[fresh]][: part.most]
            taken[fresh] = True
            rows[end : end + len(fresh)] = fresh
            sources[end : end + len(fresh)] = part.source
            end += len(fresh)
        found.counts[row] = end
        taken[rows[:end]] = False
        taken[excluded] = False

"""Session neighbours: what similar earlier sessions clicked (V-SKNN, Ludewig and Jannach, 2018), learning from the stream.

The index only grows: a finished session is appended in time proportional to its clicks, and every item keeps a linked
list of the sessions with it, newest first, so that a look-up touches at most `newest` sessions per item of the prefix.

Shapes: T clicks of a prefix, n items, N queries, K answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NeighbourSettings:
    """How neighbours are found and what they say.

    Attributes:
        neighbours: sessions that vote.
        newest: newest sessions of each item of the prefix that may become candidates, and newest of their union.
        match_power: a match k steps back in the prefix counts k ** -match_power.
        distance: an item d clicks away from the match in the neighbour counts 1 / (1 + distance · d).
        before: factor of items that the neighbour clicked before the match.
        idf: weight of log(sessions / sessions with the item), which lifts rare items.
    """

    neighbours: int = 500
    newest: int = 2500
    match_power: float = 1.0
    distance: float = 1.0
    before: float = 0.8
    idf: float = 5.0


PLAIN = NeighbourSettings(match_power=0.5, distance=0.5, before=1.0)
"""V-SKNN without further tuning: the baseline."""


@numba.njit(cache=True)
def _find(  # noqa: PLR0913, PLR0917 - a compiled kernel takes its arrays one by one
    prefix: Ints, heads: Ints, clicks: Ints, work: Ints, similarity: Floats, number: int, newest: int, neighbours: int
) -> Any:
    """The most similar sessions of a prefix; also leaves each one's match in `work`."""
    length = len(prefix)
    found = np.empty(newest * length, dtype=np.int64)
    count = 0
    for step in range(1, length + 1):
        item = prefix[length - step]
        again = False
        for later in range(length - step + 1, length):
            again = again or prefix[later] == item
        if again:
            continue
        weight = (length - step + 1) / length
        click, taken = heads[item], 0
        while click >= 0 and taken < newest:
            session = clicks[0, click]
            if work[0, session] != number:
                work[0, session], work[1, session], work[2, session] = number, step, clicks[2, click]
                similarity[session] = 0.0
                found[count] = session
                count += 1
            similarity[session] += weight
            click, taken = clicks[3, click], taken + 1
    sessions = found[:count]
    if count > newest:
        sessions = np.sort(sessions)[count - newest :]
    if len(sessions) > neighbours:
        keys = np.empty(len(sessions))
        for at in range(len(sessions)):
            keys[at] = similarity[sessions[at]] + 1e-9 * sessions[at]
        edge = np.partition(keys, len(keys) - neighbours)[len(keys) - neighbours]
        sessions = sessions[keys >= edge]
    return sessions


@numba.njit(cache=True)
def _vote(  # noqa: PLR0913, PLR0917 - a compiled kernel takes its arrays one by one
    sessions: Ints,
    clicks: Ints,
    starts: Ints,
    work: Ints,
    similarity: Floats,
    seen_in: Ints,
    total: int,
    shape: Any,
    scores: Floats,
    touched: Ints,
) -> int:
    """Add the neighbours' votes to `scores`; returns how many items were touched."""
    match_power, distance, before, idf = shape
    count = 0
    for at in range(len(sessions)):
        session = sessions[at]
        vote = similarity[session] * work[1, session] ** (-match_power)
        for click in range(starts[session], starts[session + 1]):
            item = clicks[1, click]
            away = clicks[2, click] - work[2, session]
            value = vote * (1.0 + idf * np.log(total / seen_in[item])) / (1.0 + distance * abs(away))
            if away < 0:
                value *= before
            if scores[item] == 0.0:
                touched[count] = item
                count += 1
            scores[item] += value
    return count


@numba.njit(cache=True)
def _look_up(  # noqa: PLR0913, PLR0917 - a compiled kernel takes its arrays one by one
    queries: Ints,
    heads: Ints,
    clicks: Ints,
    starts: Ints,
    seen_in: Ints,
    work: Ints,
    similarity: Floats,
    first_number: int,
    limits: Any,
    shape: Any,
    items: Ints,
    values: Floats,
) -> None:
    """Answers of several prefixes [N, T], padded with -1 in front, into items and values [N, K]."""
    scores = np.zeros(len(heads), dtype=np.float32)
    touched = np.empty(len(heads), dtype=np.int64)
    top = items.shape[1]
    for row in range(len(queries)):
        prefix = queries[row][queries[row] >= 0]
        sessions = _find(prefix, heads, clicks, work, similarity, first_number + row, limits[0], limits[1])
        count = _vote(sessions, clicks, starts, work, similarity, seen_in, len(starts) - 1, shape, scores, touched)
        reached = np.empty(count, dtype=np.float32)
        for at in range(count):
            reached[at] = scores[touched[at]]
        edge = np.float32(0.0)
        if count > top:
            edge = np.partition(reached, count - top)[count - top]
        place = 0
        for at in range(count):
            if reached[at] >= edge and place < top:
                items[row, place] = touched[at]
                values[row, place] = reached[at]
                place += 1
            scores[touched[at]] = 0.0


class SessionNeighbours:
    """An index of sessions over rows 0 … n-1 of a catalogue.

    Args:
        items: n.
        settings: how neighbours vote.
    """

    def __init__(self, items: int, settings: NeighbourSettings | None = None) -> None:
        self.settings = settings or NeighbourSettings()
        self._heads = np.full(items, -1, dtype=np.int64)
        self._seen_in = np.zeros(items, dtype=np.int64)
        self._clicks = np.zeros((4, 1024), dtype=np.int64)  # session, item, position, the item's click before
        self._starts = np.zeros(1024, dtype=np.int64)
        self._work = np.zeros((3, 1024), dtype=np.int64)  # query that touched the session, steps back, position
        self._similarity = np.zeros(1024, dtype=np.float32)
        self._sessions = self._used = 0
        self._asked = 1

    def __len__(self) -> int:
        return self._sessions

    def add(self, session: Iterable[int]) -> None:
        """Append a finished session; an item clicked twice keeps its last position."""
        last = {item: position for position, item in enumerate(session)}
        if self._used + len(last) > self._clicks.shape[1]:
            self._clicks = np.concatenate((self._clicks, np.zeros_like(self._clicks)), axis=1)
        if self._sessions + 2 > len(self._starts):
            self._starts = np.concatenate((self._starts, np.zeros_like(self._starts)))
            self._work = np.concatenate((self._work, np.zeros_like(self._work)), axis=1)
            self._similarity = np.concatenate((self._similarity, np.zeros_like(self._similarity)))
        for item, position in last.items():
            self._clicks[:, self._used] = (self._sessions, item, position, self._heads[item])
            self._heads[item] = self._used
            self._seen_in[item] += 1
            self._used += 1
        self._sessions += 1
        self._starts[self._sessions] = self._used

    def look_up(self, queries: Ints, top: int) -> tuple[Ints, Floats]:
        """Best items of each prefix.

        Args:
            queries: int64 [N, T] rows, newest last, padded with -1 in front.
            top: K.

        Returns:
            items int64 [N, K], in no order, -1 where there are fewer; and scores float32 [N, K], 0 there.
        """
        rules = self.settings
        items = np.full((len(queries), top), -1, dtype=np.int64)
        values = np.zeros((len(queries), top), dtype=np.float32)
        starts = self._starts[: self._sessions + 1]
        shape = (rules.match_power, rules.distance, rules.before, rules.idf)
        limits = (rules.newest, rules.neighbours)
        _look_up(
            queries,
            self._heads,
            self._clicks,
            starts,
            self._seen_in,
            self._work,
            self._similarity,
            self._asked,
            limits,
            shape,
            items,
            values,
        )
        self._asked += len(queries)
        return items, values

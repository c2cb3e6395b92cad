"""Session neighbours: what similar earlier sessions clicked (V-SKNN, Ludewig and Jannach, 2018), learning from the stream.

A session is appended in time proportional to its clicks, and every item keeps a linked list of the sessions with it, newest
first, so that a look-up touches at most `newest` sessions per item of the prefix. A session that is removed is passed over
until the next `compact`. The same index is asked which items share sessions and which follow which, so that everything it
says is learned, and forgotten, with the sessions.

Shapes: T clicks of a prefix, n items, N queries, K answers, P proposed items, X further ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion import consult_kernels
from fusion import neighbour_kernels as kernels

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
        pair_sessions: newest sessions of each item that are read for co-visits and transitions.
    """

    neighbours: int = 500
    newest: int = 2500
    match_power: float = 1.0
    distance: float = 1.0
    before: float = 0.8
    idf: float = 5.0
    pair_sessions: int = 500


PLAIN = NeighbourSettings(match_power=0.5, distance=0.5, before=1.0)
"""V-SKNN without further tuning: the baseline."""


class Consulted(NamedTuple):
    """What the index says to N queries.

    Attributes:
        extra: int64 [N, X] items that it proposes beside those that were given, -1 where there are fewer.
        votes: [N, P + X] of the neighbours, for the given items and then the further ones; 0 where they say nothing.
        pairs: [N, P + X] co-visits with the newest clicks: cosine by shared sessions plus share of the transitions.
        last: [N, P + X] share of the transitions from the last click, 0–1.
        before: [N, P + X] likewise from the click before.
        total: [N] votes for all items together.
        voters: [N] how many sessions voted.
    """

    extra: Ints
    votes: Floats
    pairs: Floats
    last: Floats
    before: Floats
    total: Floats
    voters: Floats


class SessionNeighbours:
    """An index of sessions over rows 0 … n-1 of a catalogue.

    Args:
        items: n; see `grow`.
        settings: how neighbours vote.
    """

    def __init__(self, items: int, settings: NeighbourSettings | None = None) -> None:
        self.settings = settings or NeighbourSettings()
        self._heads = np.full(items, -1, dtype=np.int64)
        self._seen_in = np.zeros(items, dtype=np.int64)
        self._log_seen = np.zeros(items, dtype=np.float32)
        self._clicks = np.zeros((1024, 4), dtype=np.int32)
        self._starts = np.zeros(1024, dtype=np.int64)
        self._work = np.zeros((1024, 3), dtype=np.int32)  # query that touched the session, steps back, position
        self._similarity = np.zeros(1024, dtype=np.float32)
        self._found = np.zeros(0, dtype=np.int64)
        self._memory = _memory(items)
        self._sessions = self._used = self._dead = 0
        self._asked = 1

    def __len__(self) -> int:
        """Sessions that may be neighbours."""
        return self._sessions - self._dead

    @property
    def items(self) -> int:
        """N."""
        return len(self._heads)

    @property
    def dead(self) -> int:
        """Sessions that were removed and still take room."""
        return self._dead

    @property
    def _index(self) -> Any:
        return self._heads, self._clicks, self._starts, self._seen_in, self._log_seen

    def grow(self, items: int) -> None:
        """Make room for rows up to `items` - 1; fewer than there are changes nothing."""
        more = items - len(self._heads)
        if more > 0:
            self._heads = np.concatenate((self._heads, np.full(more, -1, dtype=np.int64)))
            self._seen_in = np.concatenate((self._seen_in, np.zeros(more, dtype=np.int64)))
            self._log_seen = np.concatenate((self._log_seen, np.zeros(more, dtype=np.float32)))
            self._memory = _memory(items)

    def add(self, session: Iterable[int]) -> int:
        """Append a session; an item clicked twice keeps its last position. Returns the session's number."""
        items = np.fromiter(session, dtype=np.int64)
        return self.extend(items, np.array([len(items)], dtype=np.int64))

    def extend(self, items: Ints, lengths: Ints) -> int:
        """Append sessions, the items of all in one line; the number of the first, the others follow."""
        first = self._sessions
        self._reserve(len(items), len(lengths))
        self._used = kernels.append(self._index, first, self._used, items, lengths)
        self._sessions += len(lengths)
        return first

    def _reserve(self, clicks: int, sessions: int) -> None:
        while self._used + clicks > len(self._clicks):
            self._clicks = np.concatenate((self._clicks, np.zeros_like(self._clicks)))
        while self._sessions + sessions + 1 > len(self._starts):
            self._starts = np.concatenate((self._starts, np.zeros_like(self._starts)))
            self._work = np.concatenate((self._work, np.zeros_like(self._work)))
            self._similarity = np.concatenate((self._similarity, np.zeros_like(self._similarity)))

    def remove(self, number: int) -> None:
        """Forget a session; one that is gone already is ignored.

        Raises:
            IndexError: there never was such a session.
        """
        if not 0 <= number < self._sessions:
            message = f"session {number}, expected one of 0 to {self._sessions - 1}"
            raise IndexError(message)
        first = self._starts[number]
        if first < self._starts[number + 1] and self._clicks[first, kernels.SESSION] >= 0:
            kernels.removed(self._index, number)
            self._dead += 1

    def compact(self) -> tuple[SessionNeighbours, Ints]:
        """A copy without the removed sessions, which answers the same bits, and each session's new number, -1 if removed."""
        copy = SessionNeighbours(self.items, self.settings)
        copy._reserve(self._used, len(self))
        numbers = np.zeros(self._sessions, dtype=np.int64)
        copy._used = kernels.compacted(self._index, self._sessions, copy._index, numbers)
        copy._sessions = len(self)
        return copy, numbers

    def _prepared(self, queries: Ints) -> tuple[Any, int, int, Any]:
        """Scratch, the first query's number, living sessions and the shape of a vote."""
        if self._asked > 2**30:  # the marks of old queries must not look like those of new ones
            self._asked = 1
            self._work[:] = 0
            self._memory[2][:] = 0
        first, rules = self._asked, self.settings
        self._asked += len(queries)
        shape = (rules.match_power, rules.distance, rules.before, rules.idf)
        room = rules.newest * queries.shape[1]
        if len(self._found) < room:
            self._found = np.zeros(room, dtype=np.int64)
        return (self._work, self._similarity, self._found), first, len(self), shape

    def look_up(self, queries: Ints, top: int) -> tuple[Ints, Floats]:
        """Best items of each prefix.

        Args:
            queries: int64 [N, T] rows, newest last, padded with -1 in front.
            top: K.

        Returns:
            items int64 [N, K], in no order, -1 where there are fewer; and scores float32 [N, K], 0 there.
        """
        items = np.full((len(queries), top), -1, dtype=np.int64)
        values = np.zeros((len(queries), top), dtype=np.float32)
        work, first, living, shape = self._prepared(queries)
        limits = (self.settings.newest, self.settings.neighbours)
        kernels.look_up(queries, self._index, work, first, living, limits, shape, items, values)
        return items, values

    def consult(self, queries: Ints, proposed: Ints, top: int, top_pairs: int, *, with_pairs: bool = True) -> Consulted:
        """What neighbours, co-visits and transitions say of proposed items, and what they propose themselves.

        Args:
            queries: int64 [N, T] rows, newest last, padded with -1 in front; co-visits look at the newest ten.
            proposed: int64 [N, P] distinct rows, -1 where empty or unknown.
            top: most items that the neighbours propose; those that are proposed already count too.
            top_pairs: most items that co-visits propose, likewise.
            with_pairs: False leaves co-visits and transitions 0, which is more than half of the work for long prefixes.
        """
        width = proposed.shape[1]
        extra = np.full((len(queries), top + top_pairs), -1, dtype=np.int64)
        said = np.zeros((len(queries), width + top + top_pairs, 4), dtype=np.float32)
        total = np.zeros((len(queries), 2), dtype=np.float32)
        work, first, living, shape = self._prepared(queries)
        rules = self.settings
        limits = (rules.newest, rules.neighbours, rules.pair_sessions if with_pairs else 0, top, top_pairs)
        consult_kernels.consult(
            queries, proposed, self._index, work, self._memory, first, living, limits, shape, extra, said, total
        )
        return Consulted(extra, said[..., 0], said[..., 1], said[..., 2], said[..., 3], total[:, 0], total[:, 1])


def _memory(items: int) -> tuple[Floats, Ints, Ints]:
    """Scratch of `consult`, all zeros between calls: sums by item, lists of touched items, marks of proposed ones."""
    return np.zeros((6, items), np.float32), np.zeros((3, items), np.int64), np.zeros(items, np.int64)

"""What one shop's stream has taught: session neighbours and trend counters over item keys, with upsert and forget.

Item keys (`contracts.keys.item_key`) carry the shop, and there is one `Learned` for each shop: neither votes, nor counts, nor
the room that is kept depend on another shop's traffic.

Shapes: N queries, P proposed items, X further ones, S speeds of the trend, n items seen so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.neighbours import Consulted, NeighbourSettings, SessionNeighbours
from fusion.trend import TrendCounters

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

WINDOWS = (1_000.0, 5_000.0, 20_000.0)
"""Windows of the trend where nothing was trained, clicks of the shop."""
SLACK = 4096
"""Removed sessions that may take room before the index is compacted, besides as many as live."""


@dataclass(frozen=True)
class Heard:
    """What was learned, told of items by key.

    Attributes:
        keys: int64 [N, X] item keys that the index proposes beside the given ones, 0 where there are fewer.
        said: votes, co-visits and rules for the given items and then the further ones; its `extra` are rows of the index.
        trend: [N, P + X, 1 + S] features of the trend counters.
    """

    keys: Ints
    said: Consulted
    trend: Floats


@dataclass
class _Session:
    """Number in the index, and touches that the trend has counted."""

    number: int
    counted: int


@dataclass
class Learned:
    """One shop's sessions and clicks.

    Args:
        settings: how neighbours vote.
        windows: of the trend counters, clicks of the shop.
        most: sessions that are kept; the oldest leave first.
    """

    settings: NeighbourSettings = field(default_factory=NeighbourSettings)
    windows: tuple[float, ...] = WINDOWS
    most: int = 100_000

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        self.neighbours = SessionNeighbours(0, self.settings)
        self.counters = TrendCounters(0, self.windows)
        self._rows: dict[int, int] = {}
        self._keys: Ints = np.zeros(1, np.int64)  # by row, and 0 at the end for no row
        self._sessions: dict[bytes, _Session] = {}  # oldest first
        self._seeds = (0, 0)  # numbers of sessions without a key: the first that lives, the one after the last
        self._trend: Floats | None = None

    def __len__(self) -> int:
        """Sessions that may be neighbours."""
        return len(self.neighbours)

    @property
    def items(self) -> int:
        """N."""
        return len(self._rows)

    def seed(self, keys: Ints, items: Ints, lengths: Ints, trend: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        """Begin with the sessions of a training log; they have no key and can only grow old.

        Args:
            keys: int64 [n] item keys.
            items: int64, rows of `keys`, all sessions in one line.
            lengths: int64 [m] clicks of each session.
            trend: state of the counters over the same rows; None counts the sessions' clicks.

        Raises:
            ValueError: something was learned already, or the lengths do not add up to the items.
        """
        if self._rows or int(lengths.sum()) != len(items):
            message = f"{self.items} items known, lengths add up to {int(lengths.sum())}; expected 0 and {len(items)}"
            raise ValueError(message)
        self._rows = {int(key): row for row, key in enumerate(keys.tolist())}
        self._keys = np.append(keys.astype(np.int64), 0)
        self.neighbours.grow(len(keys))
        self.neighbours.extend(items.astype(np.int64), lengths.astype(np.int64))
        if trend is None:
            self.counters.grow(len(keys))
            self.counters.add_all(items.astype(np.int64))
        else:
            self.counters = TrendCounters.restored(trend)
        self._seeds = (0, len(lengths))
        self._trend = None
        self._tidy()

    def upsert(self, session: bytes, items: Sequence[int], touched: int) -> None:
        """A session so far, in place of what was known of it; only its new touches count for the trend.

        Args:
            session: key of the session.
            items: item keys of its newest touches, oldest first.
            touched: touches of the session in all, also those that are not among `items`.
        """
        rows = self._rows_for(items)
        before = self._sessions.pop(session, None)
        if before is not None:
            self.neighbours.remove(before.number)
        counted = before.counted if before is not None else 0
        for row in rows[len(rows) - min(len(rows), max(0, touched - counted)) :]:
            self.counters.add(row)
        self._sessions[session] = _Session(self.neighbours.add(rows), max(touched, counted))
        self._trend = None
        self._tidy()

    def forget(self, session: bytes) -> bool:
        """Forget a session; whether it was known. What it added to the trend's sums fades with them: they name nobody."""
        found = self._sessions.pop(session, None)
        if found is None:
            return False
        self.neighbours.remove(found.number)
        self._tidy()
        return True

    def _rows_for(self, keys: Sequence[int]) -> list[int]:
        """Rows of item keys, new ones for those not seen before."""
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if new:
            self._rows.update(zip(new, range(len(self._rows), len(self._rows) + len(new)), strict=True))
            self._keys = np.concatenate((self._keys[:-1], np.array([*new, 0], np.int64)))
            self.neighbours.grow(len(self._rows))
            self.counters.grow(len(self._rows))
        return [self._rows[key] for key in keys]

    def _tidy(self) -> None:
        """Keep to the bound, and rid the index of what is dead when that is more than what lives."""
        first, end = self._seeds
        while len(self.neighbours) > self.most:
            if first < end:
                self.neighbours.remove(first)
                first += 1
            else:
                self.neighbours.remove(self._sessions.pop(next(iter(self._sessions))).number)
        self._seeds = (first, end)
        if self.neighbours.dead > SLACK + len(self.neighbours):
            self.neighbours, numbers = self.neighbours.compact()
            for session in self._sessions.values():
                session.number = int(numbers[session.number])
            living = end - first
            self._seeds = (0, living)

    def rows(self, keys: Ints) -> Ints:
        """Rows of item keys of any shape, -1 where nothing was learned of them."""
        get = self._rows.get
        return np.array([get(key, -1) for key in keys.ravel().tolist()], np.int64).reshape(keys.shape)

    def trend(self) -> Floats:
        """Features of the counters by row, and in the last row those of an item that was never seen: [n + 1, 1 + S]."""
        if self._trend is None:
            self._trend = np.concatenate((self.counters.features(), self.counters.unseen()[None]))
        return self._trend

    def hear(self, prefix: Ints, proposed: Ints, top: int, top_pairs: int, *, with_pairs: bool = True) -> Heard:
        """What was learned of proposed items, and what it proposes itself.

        Args:
            prefix: int64 [N, T] item keys, newest last, padded in front with 0.
            proposed: int64 [N, P] distinct item keys, 0 where empty.
            top: most items of the neighbours, see `SessionNeighbours.consult`.
            top_pairs: most items of the co-visits.
            with_pairs: see `SessionNeighbours.consult`.
        """
        rows = self.rows(proposed)
        said = self.neighbours.consult(_packed(self.rows(prefix)), rows, top, top_pairs, with_pairs=with_pairs)
        every = np.concatenate((rows, said.extra), axis=1)
        return Heard(self._keys[said.extra], said, self.trend()[every])

    def about(self) -> dict[str, Any]:
        """Sizes, for a log line."""
        return {"sessions": len(self), "items": self.items, "clicks": self.counters.clicks}


def _packed(rows: Ints) -> Ints:
    """Known rows last, in their order: an item that nothing is known of is as if it had not been touched."""
    return np.take_along_axis(rows, np.argsort(rows >= 0, axis=1, kind="stable"), axis=1)

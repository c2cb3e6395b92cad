"""A uniform sample of all sessions ever seen, in bounded memory (Algorithm R, Vitter 1985): what replay is drawn from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from training.sessions.data import Ints


class Reservoir:
    """Keeps `most` sessions, each of those seen with the same chance. Item rows only: who clicked is not known here.

    Args:
        most: sessions kept.
        seed: of the chance.
    """

    def __init__(self, most: int = 50_000, seed: int = 0) -> None:
        if most < 1:
            message = f"most is {most}, expected 1 or more sessions"
            raise ValueError(message)
        self._most = most
        self._rng = np.random.default_rng(seed)
        self._kept: list[Ints] = []
        self.seen = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, sessions: Iterable[Ints]) -> None:
        """Take sessions in."""
        for session in sessions:
            self.seen += 1
            if len(self._kept) < self._most:
                self._kept.append(session)
                continue
            place = int(self._rng.integers(self.seen))
            if place < self._most:
                self._kept[place] = session

    def draw(self, count: int) -> list[Ints]:
        """At most `count` different ones of the kept sessions."""
        chosen = self._rng.permutation(len(self._kept))[:count]
        return [self._kept[at] for at in chosen]

    def counts(self, items: int) -> Ints:
        """Clicks of each item in the kept sessions, int64 [items]."""
        clicks = np.concatenate(self._kept) if self._kept else np.zeros(0, dtype=np.int64)
        return np.bincount(clicks, minlength=items).astype(np.int64)

"""Content neighbours: items that look and read like what a visitor touched, and like what others touched with it; no training.

An item that nobody has clicked has no neighbours by behaviour, but its codes say whom it resembles. Two items that share the
first d codes of a residual quantiser are alike to that depth, and each level halves what is left to tell them apart, so that a
depth of d counts 2^d - 1. A new item scores what it shares with the prefix, recent clicks first, and, where ids are known, with
the items that item-KNN puts beside the prefix.

Shapes: N queries, C candidates, n items, L levels of codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fusion.codes import Histories
from training.sessions.data import Ints, Queries
from training.sessions.metrics import ranks_of
from training.sessions.rules import by_row, item_cosine, recent, transitions

VOTES = 0.2
"""Weight of the neighbours' votes beside the prefix: the best of 0, .2, .5, 1 and 2 on warm validation items treated as new."""


def likeness(codes: Ints, candidates: Ints) -> NDArray[np.float32]:
    """2^depth - 1 for every item and candidate, [n, C], of codes [n, L], coarse to fine."""
    shared = np.ones((len(codes), len(candidates)), dtype=bool)
    found = np.zeros(shared.shape, dtype=np.float32)
    for level in range(codes.shape[1]):
        shared &= codes[:, level, None] == codes[candidates, level][None, :]
        found[shared] = 2.0 ** (level + 1) - 1
    return found


class ContentNeighbours:
    """Scores of the items of some histories by modalities.

    Args:
        items: the histories; hidden ones take no part in the neighbours' votes.
        modalities: some of `text`, `image` and `ids`; one of the first two at least.
    """

    def __init__(self, items: Histories, modalities: tuple[str, ...]) -> None:
        self._codes = [codes for name, codes in (("text", items.text), ("image", items.image)) if name in modalities]
        self._count = items.data.items
        self._table: Any = None
        if "ids" in modalities:
            fit = items.data.fit
            self._table = item_cosine(fit, self._count) + by_row(transitions(fit, self._count))

    def ranks(self, queries: Queries, allowed: NDArray[np.bool_] | None = None, batch: int = 512) -> NDArray[np.float64]:
        """Rank of each target among the allowed items (all by default), the prefix's own items left out, ties in the middle.

        Args:
            queries: prefixes and targets.
            allowed: bool [n], which items may answer.
            batch: queries at a time.
        """
        candidates = np.flatnonzero(allowed) if allowed is not None else np.arange(self._count)
        alike = sum(likeness(codes, candidates) for codes in self._codes)
        found = np.full(len(queries), np.inf)
        for start in range(0, len(queries), batch):
            rows = np.arange(start, min(start + batch, len(queries)))
            part = queries.pick(rows)
            scores = np.full((len(rows), self._count), -np.inf, dtype=np.float32)
            scores[:, candidates] = self._weights(part) @ alike
            found[rows] = ranks_of(scores, part, mask_seen=True)
        return found

    def _weights(self, queries: Queries) -> Any:
        """How much each item of the prefix and each neighbour of it counts, CSR [N, n]."""
        prefix = recent(queries, self._count)
        weights = by_row(prefix)
        return weights if self._table is None else weights + VOTES * by_row(prefix @ self._table)

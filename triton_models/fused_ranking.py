"""The ranking of a model with a click ranker: matches of the query, what was touched, what is popular, something new.

Where the shop's stream has taught which items go together, the neighbours' best are candidates too, and their votes lift the
click probability: p becomes 1 - (1 - p)(1 - e), as if either reason sufficed.

Shapes: B sessions, N candidates, F features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import Candidate, Voice
from fusion.features import SessionRows, candidate_features
from triton_models.candidates import Candidates, Collector, Suggested, reduced
from triton_models.index import Floats
from triton_models.items import LiveItems
from triton_models.learning import Learning, evidence, prefix_keys
from triton_models.onnx_session import Graph
from triton_models.ranking import Pages, Ranked, Sessions

CHUNK = 16  # sessions whose candidates are described at once
NEIGHBOURS = 12
LIFT = np.float32(0.4)
"""Evidence of an item that has all votes of many neighbours."""


class FusedRanking:
    """See `triton_models.ranking.Ranking`.

    Args:
        items: the live catalogue; read under its lock.
        folder: exported model.
        learning: what the stream has taught; read under its lock.
    """

    def __init__(self, items: LiveItems, folder: Path, learning: Learning) -> None:
        self._items = items
        self._learning = learning
        self._rank = Graph(folder / "rank.onnx")
        self._collector = Collector(items)
        self._evidence = np.zeros(0, np.float32)

    def rank(self, sessions: Sessions, pages: Pages) -> Ranked:
        """See `Ranking.rank`."""
        suggested = self._suggested(sessions, pages)
        found = self._collector.collect(sessions, pages, suggested)
        if pages.is_reduced:
            found = reduced(found)
        batch, width = found.rows.shape
        features = np.concatenate([self._features(sessions, found, slice(row, row + CHUNK)) for row in range(0, batch, CHUNK)])
        scores = self._rank({"features": features.reshape(batch * width, -1)})[0].reshape(batch, width)
        is_there = np.arange(width) < found.counts[:, None]
        if suggested is None:
            voices = np.zeros((batch, width, len(Voice)), np.float32)
            return Ranked(found.rows, found.sources, is_there, scores, features[..., 0], voices)
        scores, sources, voices = self._lifted(scores, found, suggested)
        return Ranked(found.rows, sources, is_there, scores, features[..., 0], voices)

    def _features(self, sessions: Sessions, found: Candidates, rows: slice) -> Floats:
        """[b, N, F] of a few sessions at a time: more would only leave the caches."""
        part = SessionRows(
            sessions.query[rows], sessions.pointer[rows], sessions.ring[rows], np.ascontiguousarray(sessions.state[rows, -1])
        )
        return candidate_features(part, self._items.columns.table, found.rows[rows])

    def _suggested(self, sessions: Sessions, pages: Pages) -> Suggested | None:
        """Items of the neighbours, best first, with their evidence; None while nothing has been learned."""
        if not any(self._learning.of(tenant) for tenant in set(pages.tenants)):
            return None
        keys = self._items.columns.keys
        nothing = np.zeros((len(pages.tenants), 1), np.int64)
        prefix = prefix_keys(sessions.ring, keys)
        heard = self._learning.hear(pages.tenants, prefix, nothing, 2 * NEIGHBOURS, 0, with_pairs=False)
        said = evidence(heard, slice(1, None))
        rows = self._items.rows_of(heard.keys)
        order = np.lexsort((self._items.columns.ties[np.maximum(rows, 0)], -said, rows < 0), axis=-1)
        return Suggested(np.take_along_axis(rows, order, axis=1), np.take_along_axis(said, order, axis=1), NEIGHBOURS)

    def _lifted(self, scores: Floats, found: Candidates, suggested: Suggested) -> tuple[Floats, NDArray[np.int32], Floats]:
        """Scores, sources and voices with the neighbours' evidence."""
        if len(self._evidence) != self._items.capacity:
            self._evidence = np.zeros(self._items.capacity, np.float32)
        lift = np.zeros_like(scores)
        for row, (rows, said) in enumerate(zip(suggested.rows, suggested.evidence, strict=True)):
            known = rows >= 0
            self._evidence[rows[known]] = said[known]
            lift[row] = LIFT * self._evidence[found.rows[row]]
            self._evidence[rows[known]] = 0.0
        lifted = 1 - (1 - scores) * (1 - lift)
        voices = np.zeros((*scores.shape, len(Voice)), np.float32)
        total = np.maximum(scores + lift, np.float32(1e-12))
        voices[..., Voice.ENCODER], voices[..., Voice.NEIGHBOURS] = scores / total, lift / total
        is_theirs = (lift > scores) & (found.sources != Candidate.RECENT)
        return lifted, np.where(is_theirs, np.int32(Candidate.SESSION_NEIGHBOURS), found.sources), voices

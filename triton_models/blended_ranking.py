"""The ranking of a model with a blend: the best of the encoder, of the neighbours and of the co-visits, scored together.

The features are those of `fusion.blend_features`, by which the blend was trained and measured. The score of an item is its
probability to be touched next if one of the candidates is: the softmax by which the blend was trained.

Shapes: B sessions, N candidates, K answers, W ring, T best of the encoder, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import MAX_ANSWERS, RING, Candidate, Voice
from fusion.blend import Blend
from fusion.blend_features import PREFIX, TOP, TOP_PAIRS, Opinions, blend_features, voices
from fusion.learned import Heard
from triton_models.candidates import EXPLORATION, REDUCED_WIDTH, pick_new
from triton_models.index import Floats, Ints
from triton_models.items import LiveItems
from triton_models.learning import Learning, prefix_keys
from triton_models.ranking import Pages, Ranked, Sessions

NEVER = np.float32(-np.inf)


class Matches(NamedTuple):
    """The encoder's word on B sessions: rows int64 [B, T], -1 where empty, and logits [B, T], falling, -inf there."""

    rows: Ints
    logits: Floats


@dataclass
class BlendedRanking:
    """See `triton_models.ranking.Ranking`; for sessions that have touched something.

    Attributes:
        items: the live catalogue; read under its lock.
        blend: of the sources.
        learning: what training log and stream have taught; read under its lock.
    """

    items: LiveItems
    blend: Blend
    learning: Learning

    def rank(self, sessions: Sessions, pages: Pages) -> Ranked:
        """See `Ranking.rank`: the `MAX_ANSWERS` best, and the new items."""
        rows, sources, said = self.opinions(sessions, pages)
        features = blend_features(said)
        scores = softmax(np.where(rows >= 0, self.blend.score(features), NEVER))
        ties = self.items.columns.ties[np.maximum(rows, 0)]
        best = np.lexsort((ties, -scores, rows < 0), axis=-1)[:, :MAX_ANSWERS]
        new = np.broadcast_to(np.arange(rows.shape[1] - EXPLORATION, rows.shape[1]), (len(rows), EXPLORATION))
        chosen = np.concatenate((np.where(_among(best, new), -1, best), new), axis=1)
        places = np.maximum(chosen, 0)
        spoken = voices(self.blend, features, rows >= 0, places)
        sources = _spoken(np.take_along_axis(sources, places, axis=1), spoken, np.take_along_axis(said.votes, places, axis=1))
        found = np.take_along_axis(rows, places, axis=1)
        is_there = (chosen >= 0) & (found >= 0)
        return Ranked(
            rows=np.where(is_there, found, 0),
            sources=np.where(is_there, sources, np.int32(0)),
            is_there=is_there,
            scores=np.where(is_there, np.take_along_axis(scores, places, axis=1), np.float32(0)),
            logits=np.take_along_axis(said.logits, places, axis=1),
            voices=np.where(is_there[..., None], spoken, np.float32(0)),
        )

    def opinions(self, sessions: Sessions, pages: Pages) -> tuple[Ints, NDArray[np.int32], Opinions]:
        """Rows [B, N] of the candidates, -1 where empty, the sources that proposed them, and what all sources say."""
        columns = self.items.columns
        found = self._matches(sessions, pages)
        keys = np.where(found.rows >= 0, columns.keys[np.maximum(found.rows, 0)], 0)
        new = np.full((len(keys), EXPLORATION), -1, np.int64)
        for row, (view, seed) in enumerate(zip(pages.views, pages.seeds, strict=True)):
            cold = pick_new(view.cold, seed)
            new[row, : len(cold)] = cold
        tops = (0, 0) if pages.is_reduced else (TOP, TOP_PAIRS)
        heard = self.learning.hear(pages.tenants, prefix_keys(sessions.ring, columns.keys), keys, *tops)
        rows = np.concatenate((found.rows, self._allowed(self.items.rows_of(heard.keys), pages), new), axis=1)
        rows[:, -EXPLORATION:][_among(new, rows[:, :-EXPLORATION])] = -1
        self._bar(rows, pages)
        return rows, self._sources(rows, sessions, heard), self._opinions(rows, sessions, found, heard)

    def _matches(self, sessions: Sessions, pages: Pages) -> Matches:
        """The encoder's best: the search finds them by the query, and what was touched has its pointer."""
        columns, width = self.items.columns, REDUCED_WIDTH if pages.is_reduced else TOP
        found = self.items.search(sessions.query, width + RING, pages.views, pages.excluded)
        ring = _first(sessions.ring)
        found[_among(found, ring)] = -1
        pool = np.concatenate((found, self._allowed(ring, pages)), axis=1)
        safe = np.maximum(pool, 0)
        logits = np.matmul(columns.table.fused[safe], sessions.query[:, :, None])[..., 0]
        logits[:, found.shape[1] :] += sessions.pointer
        logits = np.where(pool >= 0, logits, NEVER)
        best = np.lexsort((columns.ties[safe], -logits), axis=-1)[:, :width]
        return Matches(np.take_along_axis(pool, best, axis=1), np.take_along_axis(logits, best, axis=1))

    def _allowed(self, rows: Ints, pages: Pages) -> Ints:
        """The rows that may answer, -1 for the others."""
        for row, view in enumerate(pages.views):
            rows[row] = np.where((rows[row] >= 0) & view.mask[np.maximum(rows[row], 0)], rows[row], -1)
        self._bar(rows, pages)
        return rows

    def _bar(self, rows: Ints, pages: Pages) -> None:
        """Put -1 for what is excluded."""
        for row, excluded in enumerate(pages.excluded):
            if len(excluded):
                rows[row][np.isin(rows[row], excluded)] = -1

    def _sources(self, rows: Ints, sessions: Sessions, heard: Heard) -> NDArray[np.int32]:
        """Who proposed each candidate; what was touched is `RECENT`, whoever proposed it."""
        sources = np.full(rows.shape, Candidate.SESSION_NEIGHBOURS, np.int32)
        first, last = rows.shape[1] - EXPLORATION - heard.keys.shape[1], rows.shape[1] - EXPLORATION
        sources[:, :first] = Candidate.ANN_FUSED
        sources[:, first:last][heard.said.votes[:, first:] == 0] = Candidate.CO_VISIT
        sources[:, last:] = Candidate.EXPLORATION
        sources[(rows >= 0) & _among(rows, sessions.ring)] = Candidate.RECENT
        return sources

    def _opinions(self, rows: Ints, sessions: Sessions, found: Matches, heard: Heard) -> Opinions:
        """What all sources say; of new items only the encoder can say something."""
        table, safe = self.items.columns.table.fused, np.maximum(rows, 0)
        ring = sessions.ring
        last = table[np.maximum(ring[:, :2], 0)] * (ring[:, :2] >= 0)[:, :, None]
        vectors = table[safe]
        # One product for the query and the newest two clicks: each session's is of the same shape in any batch.
        products = np.matmul(vectors, np.concatenate((sessions.query[:, :, None], last.transpose(0, 2, 1)), axis=2))
        logits = np.ascontiguousarray(products[..., 0])
        hits = (rows[:, :, None] == ring[:, None, :]) & (ring >= 0)[:, None, :]
        pointer = np.take_along_axis(sessions.pointer, hits.argmax(axis=-1), axis=1)
        place = np.zeros(rows.shape, np.float32)
        place[:, : found.rows.shape[1]] = np.arange(1, found.rows.shape[1] + 1)
        said, end = heard.said, rows.shape[1] - EXPLORATION
        spoken = np.zeros((4, *rows.shape), np.float32)
        for column, values in enumerate((said.votes, said.pairs, said.last, said.before)):
            spoken[column, :, :end] = values
        trend = np.empty((*rows.shape, heard.trend.shape[-1]), np.float32)
        trend[:, :end] = heard.trend
        trend[:, end:] = self._unseen(heard)
        return Opinions(
            items=rows,
            prefix=np.ascontiguousarray(ring[:, :PREFIX][:, ::-1]),
            logits=np.where(hits.any(axis=-1), logits + pointer, logits),
            best=found.logits,
            place=place,
            votes=spoken[0],
            total=said.total,
            pairs=spoken[1],
            last=spoken[2],
            before=spoken[3],
            cosines=products[..., 1:],
            trend=trend,
        )

    @staticmethod
    def _unseen(heard: Heard) -> Floats:
        """The trend of an item that nobody touched."""
        return np.array([0.0, *np.full(heard.trend.shape[-1] - 1, np.log(0.05 / 1.05))], np.float32)


def softmax(scores: Floats) -> Floats:
    """Probabilities [B, N] of scores, -inf where there is none."""
    top = scores.max(axis=1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(top), top, np.float32(0)))
    made: Floats = powers / np.maximum(powers.sum(axis=1, keepdims=True), np.float32(1e-30))
    return made


def _among(rows: Ints, others: Ints) -> NDArray[np.bool_]:
    """[B, N] whether a row is there and among the others [B, M]."""
    return np.asarray((rows[:, :, None] == others[:, None, :]).any(axis=-1) & (rows >= 0))


def _first(ring: Ints) -> Ints:
    """The ring with -1 for what is there a second time."""
    again = np.tril(ring[:, :, None] == ring[:, None, :], -1).any(axis=-1)
    return np.where(again, -1, ring)


def _spoken(sources: NDArray[np.int32], spoken: Floats, votes: Floats) -> NDArray[np.int32]:
    """Sources of answers: what the encoder proposed counts as the neighbours' if they voted and had more to say."""
    theirs = (spoken[..., Voice.NEIGHBOURS] > spoken[..., Voice.ENCODER]) & (votes > 0)
    return np.where((sources == Candidate.ANN_FUSED) & theirs, np.int32(Candidate.SESSION_NEIGHBOURS), sources)

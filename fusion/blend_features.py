"""What the blend is told of a candidate: one definition for training, benchmark and serving.

Shapes: N queries, C candidates, T best answers of the encoder, S speeds of the trend, D width of item vectors, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import Voice
from fusion.blend import FEATURES, Blend, ranks
from fusion.consult_kernels import AHEAD

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

TOP = 120
"""T, and most candidates of the neighbours."""
TOP_PAIRS = 60
"""Most candidates of the co-visits."""
PREFIX = AHEAD
"""Newest clicks that neighbours, co-visits and these features see: as many as travel to the server. The encoder saw all."""


VOICES: dict[Voice, tuple[str, ...]] = {
    Voice.ENCODER: ("encoder", "vector"),
    Voice.NEIGHBOURS: ("neighbours", "rule", "item-item"),
    Voice.TREND: ("clicks of", "log clicks", "lift"),
}
"""Words of a feature's name that tell whose it is; what none of them fits is the visit's."""


def voice_of(feature: str) -> Voice:
    """Whose word a feature is."""
    return next((voice for voice, words in VOICES.items() if any(word in feature for word in words)), Voice.VISIT)


class Opinions(NamedTuple):
    """What the sources say of candidates.

    Attributes:
        items: int64 [N, C] rows, -1 where empty.
        prefix: int64 [N, PREFIX] rows, newest last, padded in front with -1.
        logits: [N, C] of the encoder with the pointer, anything where empty.
        best: [N, T] the encoder's best logits, falling, -inf where there are fewer.
        place: [N, C] place among the encoder's best from 1, 0 if not among them.
        votes: [N, C] of the neighbours, total [N] of all items; pairs, last, before [N, C]: `fusion.neighbours.Consulted`.
        cosines: [N, C, 2] of the item's vector to those of the last click and the click before.
        trend: [N, C, 1 + S] of `fusion.trend.TrendCounters.features`.
    """

    items: Ints
    prefix: Ints
    logits: Floats
    best: Floats
    place: Floats
    votes: Floats
    total: Floats
    pairs: Floats
    last: Floats
    before: Floats
    cosines: Floats
    trend: Floats


def log_total(best: Floats) -> Floats:
    """Log of the summed exponentials of the encoder's best logits [N, T]: [N, 1]."""
    top = np.where(np.isfinite(best[:, :1]), best[:, :1], np.float32(0))
    total: Floats = top + np.log(np.maximum(np.exp(best - top).sum(axis=1, keepdims=True), np.float32(1e-30)))
    return total


def blend_features(said: Opinions) -> Floats:
    """Features [N, C, F] in the order of `fusion.blend.FEATURES`; a query's bits do not depend on the others."""
    items, newest = said.items, said.prefix[:, ::-1]
    again = items[:, :, None] == newest[:, None, :]
    ordered = np.sort(newest, axis=1)
    different = ((ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] >= 0)).sum(1) + (ordered[:, 0] >= 0)
    columns = (
        said.logits - log_total(said.best),
        said.logits - said.best[:, :1],
        np.log(said.votes + np.float32(1e-3)),
        said.votes / np.maximum(said.total, np.float32(1e-6))[:, None],
        np.log(np.where(said.place > 0, said.place, np.float32(2 * TOP))),
        np.sqrt(said.last),
        np.sqrt(said.before),
        np.log(said.pairs + np.float32(1e-3)),
        *np.moveaxis(said.cosines, -1, 0),
        *np.moveaxis(said.trend, -1, 0),
        items == said.prefix[:, -1:],
        np.minimum(again.sum(-1), 3),
        np.log1p((said.prefix >= 0).sum(1).astype(np.float32))[:, None],
        np.log(ranks(said.votes, 2 * TOP)),
        np.log(ranks(said.pairs, 2 * TOP)),
        np.log(said.total + np.float32(1e-3))[:, None],
        said.best[:, :1] - log_total(said.best),
        np.log(np.where(again.any(-1), again.argmax(-1) + 1, 2 * PREFIX)),
        np.log(np.maximum(different, 1).astype(np.float32))[:, None],
    )
    made = np.empty((*items.shape, len(columns)), np.float32)
    for number, column in enumerate(columns):
        made[..., number] = column
    made[items < 0] = 0.0
    return made


_COLUMNS = {voice: [at for at, name in enumerate(FEATURES) if voice_of(name) == voice] for voice in Voice}


def voices(blend: Blend, features: Floats, is_there: NDArray[np.bool_], places: Ints) -> Floats:
    """Share of each voice in the scores of some candidates.

    A voice's part is what the score loses when its features are those of the query's average candidate; below 0 counts as 0.

    Args:
        blend: that scores.
        features: [N, C, F] of all candidates, zeros where empty.
        is_there: [N, C], whether there is a candidate.
        places: int64 [N, K], which candidates.

    Returns:
        [N, K, voices], a row adds up to 1, or is 0 where no voice lifts the candidate above the average.
    """
    asked = np.take_along_axis(features, places[..., None], axis=1)
    count = np.maximum(is_there.sum(axis=1), 1).astype(np.float32)
    average = features.sum(axis=1, keepdims=True) / count[:, None, None]
    without = np.repeat(asked[:, None], len(Voice) + 1, axis=1)  # [N, voices + 1, K, F], all in one product
    for voice, columns in _COLUMNS.items():
        without[:, voice][..., columns] = average[..., columns]
    scores = blend.score(without)
    parts = np.maximum(scores[:, -1:] - scores[:, :-1], 0).transpose(0, 2, 1)
    total = parts[..., 0] + parts[..., 1] + parts[..., 2] + parts[..., 3]
    shares: Floats = parts / np.where(total > 1e-6, total, np.float32(np.inf))[..., None]
    return shares

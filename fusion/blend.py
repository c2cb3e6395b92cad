"""The blend of several sources of candidates: a small network over what each source says of a candidate; NumPy only.

Shapes: N queries, C candidates, F features, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

FEATURES = (
    "log probability of the encoder",
    "gap to the encoder's best",
    "log score of the neighbours",
    "share of the neighbours",
    "rank by the encoder",
    "share of the last item's rule",
    "share of the previous item's rule",
    "item-item cosine to the recent items",
    "vector cosine to the last item",
    "vector cosine to the item before",
    "log clicks",
    "lift over 1 % of the log",
    "lift over 5 % of the log",
    "lift over 20 % of the log",
    "is the last item",
    "clicks in the prefix",
    "log length",
    "rank by the neighbours",
    "rank by item-item",
    "log votes of the neighbours",
    "best log probability of the encoder",
    "log steps back in the prefix",
    "log different items",
)


@dataclass
class Blend:
    """Scores candidates; a hidden layer plus a straight line from the features.

    Attributes:
        mean: [F] of the features in training.
        scale: [F] likewise, their standard deviation.
        hidden: [H, F] weights and `hidden_bias` [H].
        out: [H] weights of the hidden units.
        line: [F] weights of the features themselves.
    """

    mean: Floats
    scale: Floats
    hidden: Floats
    hidden_bias: Floats
    out: Floats
    line: Floats

    def score(self, features: Floats) -> Floats:
        """Scores [..., C] of features [..., C, F]; comparable within a query only."""
        x = (features - self.mean) / self.scale
        unit = np.maximum(x @ self.hidden.T + self.hidden_bias, 0.0)
        return np.asarray(unit @ self.out + x @ self.line, dtype=np.float32)


@numba.njit(cache=True)
def ranks(values: Floats, absent: int) -> Floats:
    """Place of each value [N, C] in its row from 1, the highest first, equal ones in their order; `absent` where it is 0."""
    result = np.empty(values.shape, dtype=np.float32)
    for row in range(len(values)):
        order = np.argsort(-values[row], kind="mergesort")
        for place in range(len(order)):
            result[row, order[place]] = place + 1 if values[row, order[place]] > 0 else absent
    return result


@numba.njit(cache=True)
def union(sources: Ints) -> Ints:
    """Candidates [N, C] of several sources side by side; of equal ones all but the first become -1 (in place)."""
    for row in range(len(sources)):
        order = np.argsort(sources[row])
        for at in range(1, len(order)):
            here, before = order[at], order[at - 1]
            if sources[row, here] == sources[row, before] and sources[row, here] >= 0:
                # The sort is not stable: the survivor is the later of the two in sort order.
                sources[row, before] = -1
                order[at] = here
    return sources


@numba.njit(cache=True)
def values_at(candidates: Ints, items: Ints, values: Floats) -> Floats:
    """What a source's answers items and values [N, K] say of candidates [N, C]; 0 where it says nothing."""
    result = np.zeros(candidates.shape, dtype=np.float32)
    for row in range(len(candidates)):
        order = np.argsort(items[row])
        ordered = items[row][order]
        places = np.searchsorted(ordered, candidates[row])
        for column in range(candidates.shape[1]):
            place = places[column]
            if place < len(ordered) and ordered[place] == candidates[row, column] and candidates[row, column] >= 0:
                result[row, column] = values[row, order[place]]
    return result


@numba.njit(cache=True)
def rule_values(candidates: Ints, given: Ints, starts: Ints, columns: Ints, weights: Floats) -> Floats:
    """Weights of a sparse table (rows `starts`, sorted `columns`) from given items [N] to candidates [N, C]."""
    result = np.zeros(candidates.shape, dtype=np.float32)
    for row in range(len(candidates)):
        if given[row] < 0:
            continue
        begin, end = starts[given[row]], starts[given[row] + 1]
        for column in range(candidates.shape[1]):
            item = candidates[row, column]
            place = begin + np.searchsorted(columns[begin:end], item)
            if item >= 0 and place < end and columns[place] == item:
                result[row, column] = weights[place]
    return result


@numba.njit(cache=True)
def best_of_rows(starts: Ints, columns: Ints, weights: Floats, top: int) -> Ints:
    """Columns of the heaviest entries of each row of a sparse table, int64 [N, top] in no order, -1 where there are fewer."""
    result = np.full((len(starts) - 1, top), -1, dtype=np.int64)
    for row in range(len(result)):
        here = weights[starts[row] : starts[row + 1]]
        edge = np.float32(0.0)
        if len(here) > top:
            edge = np.partition(here, len(here) - top)[len(here) - top]
        place = 0
        for at in range(len(here)):
            if here[at] >= edge and here[at] > 0 and place < top:
                result[row, place] = columns[starts[row] + at]
                place += 1
    return result

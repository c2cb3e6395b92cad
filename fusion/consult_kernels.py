# ruff: noqa: PLR0913, PLR0917 - a compiled loop takes its arrays one by one
"""Compiled loops that ask the session index everything at once: neighbours, co-visits, transitions.

The index is that of `fusion.neighbour_kernels`. Shapes: n items, N queries, P proposed items, X further ones.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fusion.neighbour_kernels import BEFORE, ITEM, POSITION, SESSION, edge_of, find, vote_for_items

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

AHEAD = 10
"""Clicks that a transition reaches ahead, and newest clicks of a prefix that are asked what follows them."""


@numba.njit(cache=True)
def _pairs(item: int, index: Any, newest: int, scratch: Floats, touched: Ints) -> Any:
    """Sessions with an item, read pair by pair: shared sessions into scratch[0], transitions to those after it into [1].

    Returns how many items were touched, how many sessions were read, and the sum of the transitions.
    """
    heads, clicks, starts, _, _ = index
    count = taken = 0
    total = np.float32(0.0)
    click = heads[item]
    while click >= 0 and taken < newest:
        session, here = clicks[click, SESSION], clicks[click, POSITION]
        if session >= 0:
            taken += 1
            for other in range(starts[session], starts[session + 1]):
                follower = clicks[other, ITEM]
                if follower == item:
                    continue
                if scratch[0, follower] == 0.0:
                    touched[count] = follower
                    count += 1
                scratch[0, follower] += np.float32(1.0)
                ahead = clicks[other, POSITION] - here
                if 0 < ahead <= AHEAD:
                    step = np.float32(1.0 / ahead)
                    scratch[1, follower] += step
                    total += step
        click = clicks[click, BEFORE]
    return count, taken, total


@numba.njit(cache=True)
def _co_visits(prefix: Ints, index: Any, newest: int, scratch: Floats, touched: Ints, own: Ints) -> int:
    """What goes with the newest clicks of a prefix: sums into scratch[2], rules of the last two clicks into [3] and [4].

    Each of the newest clicks counts 1 / steps back; an item counts the cosine of the sessions that both are in, estimated
    from the newest of them, plus the share of its transitions. Returns how many items were touched, listed in `touched`.
    """
    seen_in = index[3]
    length = len(prefix) if newest > 0 else 0
    count = 0
    for step in range(1, min(length, AHEAD) + 1):
        item = prefix[length - step]
        weight = np.float32(0.0)
        again = False
        for other in range(1, min(length, AHEAD) + 1):
            if prefix[length - other] == item:
                again = again or other < step
                weight += np.float32(1.0 / other)
        if again:
            continue
        pairs, taken, total = _pairs(item, index, newest, scratch, own)
        scale = np.float32(np.sqrt(seen_in[item]) / max(taken, 1))
        for at in range(pairs):
            other = own[at]
            rule = scratch[1, other] / total if total > 0 else np.float32(0.0)
            value = weight * (scratch[0, other] * scale / np.float32(np.sqrt(seen_in[other])) + rule)
            if scratch[2, other] == 0.0:
                touched[count] = other
                count += 1
            scratch[2, other] += value
            if prefix[length - 1] == item:
                scratch[3, other] = rule
            if length > 1 and prefix[length - 2] == item:
                scratch[4, other] = rule
            scratch[0, other] = scratch[1, other] = np.float32(0.0)
    return count


@numba.njit(cache=True)
def _take(
    row: int, place: int, top: int, scores: Floats, touched: Ints, count: int, marks: Ints, mark: int, extra: Ints
) -> int:
    """Put the `top` best of the touched items into extra[row] from `place` on, without those that are marked."""
    if top == 0:
        return place
    edge = edge_of(scores, touched, count, top)
    taken = 0
    for at in range(count):
        item = touched[at]
        if scores[item] >= edge and scores[item] > 0.0 and taken < top:
            taken += 1
            if marks[item] != mark:
                marks[item] = mark
                extra[row, place] = item
                place += 1
    return place


@numba.njit(cache=True)
def consult(
    queries: Ints, proposed: Ints, index: Any, work: Any, memory: Any, first_number: int, living: int, limits: Any, shape: Any,
    extra: Ints, said: Floats, total: Floats,
) -> None:  # fmt: skip
    """What the index says of proposed items [N, P] and which others it proposes itself, into extra [N, X].

    Fills said [N, P + X, 4]: votes of the neighbours, co-visits, rule of the last click, rule of the click before; and total
    [N, 2]: all votes, and how many sessions voted.
    """
    newest, neighbours, pair_sessions, top, top_pairs = limits
    scratch, lists, marks = memory
    votes = scratch[5]
    for row in range(len(queries)):
        prefix = queries[row][queries[row] >= 0]
        mark = first_number + row
        sessions = find(prefix, index, work, mark, newest, neighbours)
        voted = vote_for_items(sessions, index, work, living, shape, votes, lists[0])
        paired = _co_visits(prefix[max(0, len(prefix) - AHEAD) :], index, pair_sessions, scratch, lists[1], lists[2])
        total[row, 1] = len(sessions)
        for at in range(voted):
            total[row, 0] += votes[lists[0, at]]
        for item in proposed[row]:
            if item >= 0:
                marks[item] = mark
        place = _take(row, 0, top, votes, lists[0], voted, marks, mark, extra)
        _take(row, place, top_pairs, scratch[2], lists[1], paired, marks, mark, extra)
        width = proposed.shape[1]
        for column in range(said.shape[1]):
            item = proposed[row, column] if column < width else extra[row, column - width]
            if item >= 0:
                said[row, column, 0] = votes[item]
                for kind in range(3):
                    said[row, column, 1 + kind] = scratch[2 + kind, item]
        for at in range(voted):
            votes[lists[0, at]] = 0.0
        for at in range(paired):
            item = lists[1, at]
            scratch[2, item] = scratch[3, item] = scratch[4, item] = 0.0

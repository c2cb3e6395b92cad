# ruff: noqa: PLR0913, PLR0915, PLR0917 - a compiled loop takes its arrays one by one and calls little
"""Compiled loops of the session index; `fusion.neighbours` is what calls them.

Every loop is over one query at a time, so that an answer does not depend on the other queries of its batch, bit for bit, nor
on how sessions are numbered as long as their order is the same.

The index is a tuple: `heads` int64 [n], each item's newest click; `clicks` int32 [c, 4] with session (-1 if it was removed),
item, position, the item's click before; `starts` int64 [m + 1], each session's first click; `seen_in` int64 [n], the living
sessions with an item; `log_seen` float32 [n], its logarithm. A click is one cache line: the loops wait for memory, not for
arithmetic.
Shapes: n items, m sessions, c clicks, N queries, T clicks of a prefix, K answers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
SESSION, ITEM, POSITION, BEFORE = range(4)
Floats = NDArray[np.float32]

NEAR = 64
"""Distances between clicks that are told apart."""


@numba.njit(cache=True)
def append(index: Any, session: int, used: int, items: Ints, lengths: Ints) -> int:
    """Append sessions, their items in one line; an item clicked twice keeps its last position. Returns the clicks in use."""
    heads, clicks, starts, seen_in, log_seen = index
    at = 0
    for length in lengths:
        for position in range(length):
            item = items[at + position]
            head = heads[item]
            if head >= 0 and clicks[head, SESSION] == session:
                clicks[head, POSITION] = position
                continue
            clicks[used] = (session, item, position, head)
            heads[item] = used
            seen_in[item] += 1
            log_seen[item] = np.log(seen_in[item])
            used += 1
        session += 1
        starts[session] = used
        at += length
    return used


@numba.njit(cache=True)
def removed(index: Any, session: int) -> None:
    """Mark a living session's clicks."""
    _, clicks, starts, seen_in, log_seen = index
    for click in range(starts[session], starts[session + 1]):
        item = clicks[click, ITEM]
        clicks[click, SESSION] = -1
        seen_in[item] -= 1
        log_seen[item] = np.log(max(seen_in[item], 1))


@numba.njit(cache=True)
def compacted(index: Any, sessions: int, fresh: Any, numbers: Ints) -> int:
    """Copy the living sessions into `fresh` in their order; `numbers` [m] gets their new numbers, -1 for the dead."""
    _, clicks, starts, _, _ = index
    heads, kept, begins, seen_in, log_seen = fresh
    used = count = 0
    for session in range(sessions):
        numbers[session] = -1
        first = starts[session]
        if first == starts[session + 1] or clicks[first, SESSION] < 0:
            continue
        numbers[session] = count
        for click in range(first, starts[session + 1]):
            item = clicks[click, ITEM]
            kept[used, SESSION], kept[used, ITEM], kept[used, POSITION] = count, item, clicks[click, POSITION]
            kept[used, BEFORE] = heads[item]
            heads[item] = used
            seen_in[item] += 1
            log_seen[item] = np.log(seen_in[item])
            used += 1
        count += 1
        begins[count] = used
    return used


@numba.njit(cache=True)
def find(prefix: Ints, index: Any, work: Any, number: int, newest: int, neighbours: int) -> Any:
    """The most similar sessions of a prefix; leaves each one's match in `work`."""
    heads, clicks, _, _, _ = index
    matches, similarity, found = work
    length = len(prefix)
    count = 0
    for step in range(1, length + 1):
        item = prefix[length - step]
        again = False
        for later in range(length - step + 1, length):
            again = again or prefix[later] == item
        if again:
            continue
        weight = np.float32((length - step + 1) / length)
        click, taken = heads[item], 0
        while click >= 0 and taken < newest:
            session = clicks[click, SESSION]
            if session >= 0:
                if matches[session, 0] != number:
                    matches[session, 0], matches[session, 1], matches[session, 2] = number, step, clicks[click, POSITION]
                    similarity[session] = 0.0
                    found[count] = session
                    count += 1
                similarity[session] += weight
                taken += 1
            click = clicks[click, BEFORE]
    sessions = found[:count]
    if count > newest:
        sessions = np.sort(sessions)[count - newest :]
    if len(sessions) > neighbours:
        # Similarity, then the newer session: floats that are not negative order like their bits.
        bits = similarity.view(np.int32)
        keys = np.empty(len(sessions), dtype=np.int64)
        for at in range(len(sessions)):
            keys[at] = (np.int64(bits[sessions[at]]) << 32) | sessions[at]
        edge = np.partition(keys, len(keys) - neighbours)[len(keys) - neighbours]
        sessions = sessions[keys >= edge]
    return sessions


@numba.njit(cache=True)
def vote_for_items(sessions: Ints, index: Any, work: Any, living: int, shape: Any, scores: Floats, touched: Ints) -> int:
    """Add the neighbours' votes to `scores` [n]; returns how many items were touched, listed in `touched` [n]."""
    _, clicks, starts, _, log_seen = index
    matches, similarity, _ = work
    match_power, distance, before, idf = shape
    base = np.float32(1.0 + idf * np.log(max(living, 1)))
    factor = np.float32(idf)
    near = np.empty((2, NEAR), dtype=np.float32)
    for away in range(NEAR):
        near[0, away] = 1.0 / (1.0 + distance * away)
        near[1, away] = before / (1.0 + distance * away)
    count = 0
    for at in range(len(sessions)):
        session = sessions[at]
        here = matches[session, 2]
        vote = np.float32(similarity[session] * matches[session, 1] ** (-match_power))
        for click in range(starts[session], starts[session + 1]):
            item = clicks[click, ITEM]
            away = clicks[click, POSITION] - here
            side = 1 if away < 0 else 0
            if scores[item] == 0.0:
                touched[count] = item
                count += 1
            scores[item] += vote * (base - factor * log_seen[item]) * near[side, min(abs(away), NEAR - 1)]
    return count


@numba.njit(cache=True)
def edge_of(scores: Floats, touched: Ints, count: int, top: int) -> float:
    """The least of the `top` best scores among the touched items."""
    if count <= top:
        return 0.0
    reached = np.empty(count, dtype=np.float32)
    for at in range(count):
        reached[at] = scores[touched[at]]
    edge: float = np.partition(reached, count - top)[count - top]
    return edge


@numba.njit(cache=True)
def look_up(
    queries: Ints, index: Any, work: Any, first_number: int, living: int, limits: Any, shape: Any, items: Ints, values: Floats
) -> None:
    """Answers of several prefixes [N, T], padded with -1 in front, into items and values [N, K]."""
    scores = np.zeros(len(index[0]), dtype=np.float32)
    touched = np.empty(len(scores), dtype=np.int64)
    top = items.shape[1]
    for row in range(len(queries)):
        prefix = queries[row][queries[row] >= 0]
        sessions = find(prefix, index, work, first_number + row, limits[0], limits[1])
        count = vote_for_items(sessions, index, work, living, shape, scores, touched)
        edge = edge_of(scores, touched, count, top)
        place = 0
        for at in range(count):
            item = touched[at]
            if scores[item] >= edge and place < top:
                items[row, place] = item
                values[row, place] = scores[item]
                place += 1
            scores[item] = 0.0

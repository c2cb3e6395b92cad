"""Neighbour methods as baselines: popularity, SR, V-SKNN and item-KNN, from the same sessions as the final model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fusion.neighbours import PLAIN, SessionNeighbours
from training.sessions.data import Dataset
from training.sessions.encoder_training import Tick, silent
from training.sessions.rules import by_row, item_cosine, last_items, neighbour_ranks, recent, sparse_ranks, transitions

Ranks = NDArray[np.float64]


def baselines(data: Dataset, tick: Tick = silent) -> dict[str, Ranks]:
    """Ranks of the test targets by popularity, SR, V-SKNN and item-KNN, learned from the final model's sessions."""
    clicks = np.concatenate(data.full)
    counts = np.bincount(clicks, minlength=data.items).astype(np.float32)
    rule = transitions(data.full, data.items)
    last = last_items(data.test)
    known = np.flatnonzero(last >= 0)
    single = sparse.csr_matrix((np.ones(len(known), np.float32), (known, last[known])), shape=(len(last), data.items))
    always = sparse.csr_matrix(np.ones((len(last), 1), np.float32))
    plain = SessionNeighbours(data.items, PLAIN)
    for session in data.full:
        plain.add(session.tolist())
    found = [plain.look_up(data.test.items[start : start + 4096], 200) for start in range(0, len(last), 4096)]
    near, votes = np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
    cosine = item_cosine(data.full, data.items) + by_row(rule)
    mask = data.mask_seen
    methods: dict[str, Callable[[], Ranks]] = {
        "popularity": lambda: sparse_ranks(always, sparse.csr_matrix(counts), data.test, mask_seen=mask),
        "SR": lambda: sparse_ranks(single, rule, data.test, mask_seen=mask),
        "V-SKNN": lambda: neighbour_ranks(near, votes, data.test, mask_seen=mask),
        "item-KNN": lambda: sparse_ranks(recent(data.test, data.items), cosine, data.test, mask_seen=mask),
    }
    found_ranks: dict[str, Ranks] = {}
    for done, (name, method) in enumerate(methods.items(), start=1):
        found_ranks[name] = method()
        tick("baselines", done / len(methods), name)
    return found_ranks

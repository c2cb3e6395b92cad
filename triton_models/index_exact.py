"""Exhaustive search in two steps: 8-bit integer scores over everything, then 32-bit scores by whoever ranks the answer.

Integer sums do not round, so a query's scores are the same in any batch, in any order of the items and on any machine.
The catalogue is read once as bytes, a quarter of the memory traffic that bounds a search in 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triton_models.index import Floats, Ints, Mask, tie_breaker
from triton_models.onnx_session import open_session
from triton_models.scoring_graph import FILE

# A component of a unit vector beyond this many times its mean size 1/sqrt(D) is clipped.
CLIP = 4.5
# Queries take 7 bits: the kernel for CPUs without VNNI adds two products in 16 bits, 2 * 127 * 127 just fits.
QUERY_ZERO = 64
QUERY_PEAK = 63
NEVER = np.int32(-(2**30))
GROUP = 64


class ExactIndex:
    """`triton_models.index.VectorIndex` by integer products in ONNX Runtime.

    Args:
        dim: D.
        capacity: C.
    """

    def __init__(self, dim: int, capacity: int) -> None:
        self._dim = dim
        # An odd number of cache lines: rows a power of two apart would share their cache sets (6 times slower).
        width = (capacity + 63) // 64 // 2 * 2 * 64 + 64
        self._codes = np.zeros((dim, width), np.int8)
        self._offsets = np.zeros(width, np.int32)  # what the zero point of the queries adds to each item's score
        self._ties = np.zeros(width, np.int64)
        self._session = open_session(FILE)
        self._scores = np.zeros((1, width), np.int32)

    def resize(self, capacity: int) -> ExactIndex:
        """See `VectorIndex.resize`."""
        copy = ExactIndex(self._dim, capacity)
        used = len(self._offsets)
        copy._codes[:, :used] = self._codes
        copy._offsets[:used] = self._offsets
        copy._ties[:used] = self._ties
        return copy

    def write(self, rows: Ints, keys: Ints, vectors: Floats) -> None:
        """See `VectorIndex.write`."""
        scale = 127.0 * np.sqrt(self._dim) / CLIP
        codes = np.clip(np.rint(vectors * np.float32(scale)), -127, 127).astype(np.int8)
        self._codes[:, rows] = codes.T
        self._offsets[rows] = -QUERY_ZERO * codes.sum(axis=1, dtype=np.int32)
        self._ties[rows] = tie_breaker(keys)

    def search(self, queries: Floats, k: int, masks: Sequence[Mask], excluded: Sequence[Ints]) -> Ints:
        """See `VectorIndex.search`."""
        found = np.full((len(queries), k), -1, np.int64)
        if not len(queries):
            return found
        scores = self._score(queries)
        offsets: dict[int, NDArray[np.int32]] = {}
        for number, mask in enumerate(masks):
            if id(mask) not in offsets:
                offsets[id(mask)] = self._barred(mask)
            row = scores[number]
            row += offsets[id(mask)]
            row[excluded[number]] = NEVER
            best = self._best(row, k)
            found[number, : len(best)] = best
        return found

    def _barred(self, mask: Mask) -> NDArray[np.int32]:
        """What is added to the scores: the items' offsets, and out of reach for those that may not answer."""
        barred = np.full(len(self._offsets), NEVER, np.int32)
        np.copyto(barred[: len(mask)], self._offsets[: len(mask)], where=mask)
        return barred

    def _score(self, queries: Floats) -> NDArray[np.int32]:
        """[B, C] scores, each too large by its item's offset; the array is used again by the next search."""
        batch, width = len(queries), len(self._offsets)
        peak = np.maximum(np.abs(queries).max(axis=1, keepdims=True), np.float32(1e-12))
        codes = (np.rint(queries * (QUERY_PEAK / peak)) + QUERY_ZERO).astype(np.uint8)
        if len(self._scores) < batch:
            self._scores = np.zeros((batch, width), np.int32)
        binding = self._session.io_binding()
        binding.bind_input("queries", "cpu", 0, np.uint8, codes.shape, codes.ctypes.data)
        binding.bind_input("codes", "cpu", 0, np.int8, self._codes.shape, self._codes.ctypes.data)
        binding.bind_output("scores", "cpu", 0, np.int32, (batch, width), self._scores.ctypes.data)
        self._session.run_with_iobinding(binding)
        return self._scores[:batch]

    def _best(self, scores: NDArray[np.int32], k: int) -> Ints:
        """Rows of the k highest scores, best first.

        The k-th highest of the maxima of disjoint groups is reached by at least k scores, so only scores from there on
        are sorted; finding them costs three passes at memory speed.
        """
        capacity = len(scores)
        group = GROUP
        while group > 1 and capacity < 3 * k * group:
            group //= 2
        count = capacity // group
        threshold = NEVER // 2
        if count > k:
            maxima = scores[: count * group].reshape(group, count).max(axis=0)
            threshold = max(threshold, np.partition(maxima, count - k)[count - k])
        rows = np.flatnonzero(scores >= threshold)
        # Score descending, then tie breaker: one sort of one number each.
        order = ((-scores[rows].astype(np.int64)) << np.int64(31)) | self._ties[rows]
        return rows[np.argsort(order)[:k]]

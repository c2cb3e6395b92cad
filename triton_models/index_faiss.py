"""The search by faiss: a flat inner-product index, the same laws as the exact one."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from triton_models.index import Floats, Ints, Mask, tie_breaker


class FaissIndex:
    """`triton_models.index.VectorIndex` on faiss, in 32 bits.

    Every search brings its mask, so faiss takes the path that scores query by query: an answer does not depend on the batch.

    Args:
        dim: D.
        capacity: C.
    """

    def __init__(self, dim: int, capacity: int) -> None:
        faiss.omp_set_num_threads(1)
        self._dim = dim
        self._index = faiss.IndexFlatIP(dim)
        self._index.add(np.zeros((capacity, dim), np.float32))
        # The vectors inside faiss, to be written in place: a flat index knows no update.
        self._vectors: Floats = faiss.rev_swig_ptr(self._index.get_xb(), capacity * dim).reshape(capacity, dim)
        self._ties = np.zeros(capacity, np.int64)

    def resize(self, capacity: int) -> FaissIndex:
        """See `VectorIndex.resize`."""
        copy = FaissIndex(self._dim, capacity)
        copy._vectors[: len(self._vectors)] = self._vectors
        copy._ties[: len(self._ties)] = self._ties
        return copy

    def write(self, rows: Ints, keys: Ints, vectors: Floats) -> None:
        """See `VectorIndex.write`."""
        self._vectors[rows] = vectors
        self._ties[rows] = tie_breaker(keys)

    def search(self, queries: Floats, k: int, masks: Sequence[Mask], excluded: Sequence[Ints]) -> Ints:
        """See `VectorIndex.search`."""
        found = np.full((len(queries), k), -1, np.int64)
        groups: dict[int, list[int]] = {}
        for number, mask in enumerate(masks):
            groups.setdefault(id(mask), []).append(number)
        for numbers in groups.values():
            mask = masks[numbers[0]]
            packed = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(packed))
            # Exclusions differ from query to query: ask for as many more, then leave them out.
            wanted = min(len(mask), k + max(len(excluded[number]) for number in numbers))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = self._index.search(queries[numbers], wanted, params=parameters)
            for place, number in enumerate(numbers):
                best = self._best(scores[place], rows[place], excluded[number])[:k]
                found[number, : len(best)] = best
        return found

    def _best(self, scores: Floats, rows: Ints, excluded: Ints) -> Ints:
        """Rows best first, equal scores by tie breaker, without the excluded ones."""
        kept = (rows >= 0) & ~np.isin(rows, excluded)
        scores, rows = scores[kept], rows[kept]
        return rows[np.lexsort((self._ties[rows], -scores))]

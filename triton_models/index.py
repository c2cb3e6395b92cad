"""The port of the nearest-item search, by row of the item table, and the choice of its adapter.

Shapes: B queries, D width, C capacity of the table (rows in use and free ones), M masks, k wanted, n rows written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

Kind = Literal["exact", "faiss"]
NOBODY = np.zeros(0, dtype=np.int64)


class VectorIndex(Protocol):
    """Finds the items whose vectors match queries best by inner product.

    Which rows exist, are free or may answer is the table's business: every search brings its mask. Writing and searching
    exclude each other by the table's lock.
    """

    def resize(self, capacity: int) -> VectorIndex:
        """A copy with room for `capacity` rows; this one stays usable until the copy takes its place."""
        ...

    def write(self, rows: Ints, keys: Ints, vectors: Floats) -> None:
        """Place unit vectors [n, D] of items `keys` [n] at distinct `rows` [n], over what was there."""
        ...

    def search(self, queries: Floats, k: int, masks: Sequence[Mask], excluded: Sequence[Ints]) -> Ints:
        """Best rows for each query.

        A query's answer depends on that query, its mask, its exclusions and the items alone: not on the other queries
        and not on which row an item has; ties go to the smaller key.

        Args:
            queries: [B, D], any length.
            k: most rows for each query.
            masks: B masks [C], True where a row may answer; rows of a batch that share one share the object.
            excluded: B arrays of rows that may not answer.

        Returns:
            int64 [B, k], best first, -1 after the last.
        """
        ...


def create_index(kind: Kind, dim: int, capacity: int) -> VectorIndex:
    """The adapter that the setting `model.index` names; a search library is only imported when it is chosen."""
    if kind == "faiss":
        from triton_models.index_faiss import FaissIndex  # noqa: PLC0415 - faiss is only loaded where it is chosen

        return FaissIndex(dim, capacity)
    from triton_models.index_exact import ExactIndex  # noqa: PLC0415 - and the other way round

    return ExactIndex(dim, capacity)


def tie_breaker(keys: Ints) -> Ints:
    """The upper 31 bits of the keys, which are hashes: what orders equal scores, whatever rows the items have."""
    return (keys >> np.int64(33)) & np.int64(0x7FFFFFFF)

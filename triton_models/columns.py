"""The columns of the live items, one row an item. Shapes: C rows of capacity, D width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.features import ItemTable, fact_columns
from triton_models.index import Floats, Ints, Mask


class Columns:
    """Arrays with room for `capacity` items; free rows are zero and may not answer.

    Attributes:
        table: what the features read, vectors [C, D] among them.
        keys: int64 [C] item keys, 0 where free.
        ties: int64 [C], what orders equal items.
        tenants: int64 [C] tenant keys.
        weights: [C, 3] of text, image, behaviour in the fused vector.
        is_eligible: [C] whether the item may answer.
        is_cold: [C] whether it has no behaviour yet.
    """

    def __init__(self, dim: int, capacity: int) -> None:
        wide = [np.zeros((capacity, dim), np.float32) for _ in range(4)]
        facts: dict[str, Any] = {name: np.zeros(capacity, values.dtype) for name, values in fact_columns([]).items()}
        self.dim = dim
        self.table = ItemTable(wide[0], wide[1], wide[2], wide[3], **facts)
        self.keys: Ints = np.zeros(capacity, np.int64)
        self.ties: Ints = np.zeros(capacity, np.int64)
        self.tenants: Ints = np.zeros(capacity, np.int64)
        self.weights: Floats = np.zeros((capacity, 3), np.float32)
        self.is_eligible: Mask = np.zeros(capacity, np.bool_)
        self.is_cold: Mask = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        """C."""
        return len(self.keys)

    def _arrays(self) -> list[NDArray[Any]]:
        own = [self.keys, self.ties, self.tenants, self.weights, self.is_eligible, self.is_cold]
        return [*vars(self.table).values(), *own]

    def grown(self, capacity: int) -> Columns:
        """A copy with more room."""
        copy = Columns(self.dim, capacity)
        for old, new in zip(self._arrays(), copy._arrays(), strict=True):
            new[: len(old)] = old
        return copy

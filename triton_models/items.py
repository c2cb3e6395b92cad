"""The live catalogue as arrays: one row an item, rows reused after a deletion, room growing by a quarter.

One thread writes (the follower), another searches (the model); both hold `LiveItems.lock`, the writer only for as long as
copying a chunk of rows takes. Shapes: n items, C rows of capacity, D width, B sessions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fusion.features import ItemFacts, ItemTable, behaviour_part, fact_columns
from triton_models.columns import Columns
from triton_models.index import NOBODY, Floats, Ints, VectorIndex, tie_breaker
from triton_models.order import Order
from triton_models.views import View, make_view, popularity_number

START = 1024
MAX_VIEWS = 256


class ItemRow(NamedTuple):
    """One item as a record of `shop.item_embeddings.v1` gives it.

    Attributes:
        key: item key, see `contracts.keys.item_key`.
        tenant: tenant key.
        fused: [D], L2 norm 1.
        text: [D], L2 norm 1, or 0 where missing; image likewise.
        weights: text, image, behaviour: fused = sum of weight · vector.
        facts: what the features need; `department` is what the category of a page is compared with.
        is_eligible: whether it may answer; an item that is out of stock is still known to the encoder.
    """

    key: int
    tenant: int
    fused: Floats
    text: Floats
    image: Floats
    weights: tuple[float, float, float]
    facts: ItemFacts
    is_eligible: bool


class LiveItems:
    """Items by key, their columns, and the index over their vectors.

    Args:
        dim: D.
        index: empty index with room for `START` rows.
    """

    def __init__(self, dim: int, index: VectorIndex) -> None:
        self.lock = threading.Lock()
        self.dim = dim
        self.version = 0
        """Sum of the next offsets applied; set by the follower together with the rows."""
        self.eligible_count = 0
        self._index = index
        self._rows: dict[int, int] = {}
        self._free: list[int] = []
        self._views: dict[tuple[int, int], View] = {}
        self._popular = Order()
        self._cold = Order()
        self.columns = Columns(dim, START)

    def __len__(self) -> int:
        """Items known, whether they may answer or not."""
        return len(self._rows)

    @property
    def capacity(self) -> int:
        """C, rows in use and free ones."""
        return len(self.columns)

    def _reserve(self, more: int) -> None:
        """Make room for `more` new items; only the short exchange of the arrays is done under the lock."""
        used = len(self._rows)
        capacity = self.capacity
        while used + more > capacity:
            capacity += max(START, capacity // 4 // START * START)  # a search pays for empty room too
        if capacity == self.capacity:
            return
        columns, index = self.columns.grown(capacity), self._index.resize(capacity)
        with self.lock:
            self.columns, self._index = columns, index
            self._views.clear()

    def upsert(self, items: Sequence[ItemRow], version: int | None = None) -> None:
        """Add or replace items; of several with one key the last counts."""
        self.apply({item.key: item for item in items}, version)

    def remove(self, keys: Iterable[int], version: int | None = None) -> None:
        """Forget items; unknown keys are ignored."""
        self.apply(dict.fromkeys(keys), version)

    def clear(self) -> None:
        """Forget all items."""
        self.apply(dict.fromkeys(list(self._rows)), 0)

    def apply(self, changes: dict[int, ItemRow | None], version: int | None = None) -> None:
        """Apply a chunk of changes at once: by key a new row, or None to forget the item.

        Args:
            changes: at most a few hundred, since searches wait meanwhile.
            version: position of the topic after the chunk.
        """
        rows = [item for item in changes.values() if item is not None]
        self._reserve(sum(item.key not in self._rows for item in rows))
        prepared = self._prepare(rows)
        with self.lock:
            gone = [self._rows.pop(key) for key, item in changes.items() if item is None and key in self._rows]
            self._free.extend(gone)
            self.columns.is_eligible[gone] = False
            self.columns.keys[gone] = 0
            written = self._write(rows, prepared)
            self._sort(np.array(gone, np.int64), written)
            self.eligible_count = int(np.count_nonzero(self.columns.is_eligible))
            self.version = self.version if version is None else version
            self._views.clear()

    def _sort(self, gone: Ints, written: Ints) -> None:
        """Keep the orders that the views draw on."""
        columns, changed = self.columns, np.concatenate((gone, written))
        ties = columns.ties[written]
        self._popular.change(changed, written, popularity_number(columns.table.popularity[written], ties), len(columns))
        is_cold = columns.is_cold[written]
        self._cold.change(changed, written[is_cold], ties[is_cold], len(columns))

    def _prepare(self, items: Sequence[ItemRow]) -> ItemTable:
        """The table of the new rows alone, made before the lock is taken."""
        shape = (len(items), self.dim)
        fused, text, image = (
            np.array([getattr(item, name) for item in items], np.float32).reshape(shape) for name in ("fused", "text", "image")
        )
        weights = np.array([item.weights for item in items], np.float32).reshape(-1, 3)
        behaviour = behaviour_part(fused, text, image, weights)
        facts: dict[str, Any] = dict(fact_columns([item.facts for item in items]))
        return ItemTable(fused, text, image, behaviour, **facts)

    def _write(self, items: Sequence[ItemRow], prepared: ItemTable) -> Ints:
        """Write the columns and the index; the rows that the items have."""
        if not items:
            return NOBODY
        rows = np.array([self._row_for(item.key) for item in items], np.int64)
        keys = np.array([item.key for item in items], np.int64)
        columns = self.columns
        for name, values in vars(prepared).items():
            getattr(columns.table, name)[rows] = values
        columns.keys[rows] = keys
        columns.ties[rows] = tie_breaker(keys)
        columns.tenants[rows] = [item.tenant for item in items]
        columns.weights[rows] = [item.weights for item in items]
        columns.is_eligible[rows] = [item.is_eligible for item in items]
        columns.is_cold[rows] = [item.weights[2] == 0.0 for item in items]
        self._index.write(rows, keys, prepared.fused)
        return rows

    def _row_for(self, key: int) -> int:
        row = self._rows.get(key)
        if row is None:
            row = self._free.pop() if self._free else len(self._rows)
            self._rows[key] = row
        return row

    def rows_of(self, keys: Ints) -> Ints:
        """Rows of item keys of any shape, -1 where unknown; 0 is never an item."""
        get = self._rows.get
        return np.array([get(key, -1) for key in keys.ravel().tolist()], np.int64).reshape(keys.shape)

    def view(self, tenant: int, category: int) -> View:
        """Who may answer for a tenant, in one department or (0) in all; made once for each version of the items."""
        found = self._views.get((tenant, category))
        if found is None:
            columns = self.columns
            mask = columns.is_eligible & (columns.tenants == tenant)
            if category:
                mask &= columns.table.department == category
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            found = self._views[tenant, category] = make_view(mask, columns.table, self._popular.rows, self._cold.rows)
        return found

    def search(self, queries: Floats, k: int, views: Sequence[View], excluded: Sequence[Ints] | None = None) -> Ints:
        """Rows [B, k] of the best items for each query [B, D] among those that its view allows; -1 after the last."""
        nobody = [NOBODY] * len(queries)
        return self._index.search(queries, k, [view.mask for view in views], excluded or nobody)

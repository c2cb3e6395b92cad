"""Rows sorted by a number each, kept sorted while items come, change and go: sorting all at each change would be felt."""

from __future__ import annotations

import numpy as np

from triton_models.index import Ints


class Order:
    """Some rows of a table in ascending order of their numbers."""

    def __init__(self) -> None:
        self.rows: Ints = np.zeros(0, np.int64)
        self._numbers: Ints = np.zeros(0, np.int64)

    def change(self, changed: Ints, rows: Ints, numbers: Ints, capacity: int) -> None:
        """Take rows out and put rows in, in one pass over the whole.

        Args:
            changed: rows whose old place counts no more; those that had none are ignored.
            rows: rows to put in, all among `changed`.
            numbers: the numbers of `rows`.
            capacity: above every row.
        """
        is_changed = np.zeros(capacity, np.bool_)
        is_changed[changed] = True
        kept = ~is_changed[self.rows]
        old_rows, old_numbers = self.rows[kept], self._numbers[kept]
        sorting = np.argsort(numbers)
        places = np.searchsorted(old_numbers, numbers[sorting])
        self.rows = np.insert(old_rows, places, rows[sorting])
        self._numbers = np.insert(old_numbers, places, numbers[sorting])

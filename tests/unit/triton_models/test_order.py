"""An order that is kept through changes is the order of sorting anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triton_models.order import Order

CAPACITY = 12


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, CAPACITY - 1), st.integers(-5, 5), max_size=6),
            st.sets(st.integers(0, CAPACITY - 1), max_size=4),
        ),
        max_size=8,
    )
)
def test_it_equals_sorting_anew_after_any_changes(steps: list[tuple[dict[int, int], set[int]]]) -> None:
    order, model = Order(), dict[int, int]()
    for put, gone in steps:
        for row in gone:
            model.pop(row, None)
        model.update(put)
        changed = np.array([*gone, *put], np.int64)
        order.change(changed, np.array(list(put), np.int64), np.array(list(put.values()), np.int64), CAPACITY)
        assert [model[row] for row in order.rows.tolist()] == sorted(model.values())
        assert sorted(order.rows.tolist()) == sorted(model)

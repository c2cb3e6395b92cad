"""The laws of the live index, the same for every adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.triton_models.tiny_model import TENANT, item
from triton_models.index import Kind, create_index
from triton_models.items import START, LiveItems
from triton_models.scoring_graph import FILE, build

DIM = 32
OTHER = 8
rng = np.random.default_rng(11)


def unit(count: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


VECTORS = unit(3000)
QUERIES = 14 * unit(64)
KEYS = rng.integers(-(2**63), 2**63 - 1, len(VECTORS))


Make = Callable[[], LiveItems]


@pytest.fixture(params=get_args(Kind))
def make(request: pytest.FixtureRequest) -> Make:
    return lambda: LiveItems(DIM, create_index(request.param, DIM, START))


@pytest.fixture
def items(make: Make) -> LiveItems:
    return make()


def fill(items: LiveItems, order: Sequence[int] = range(len(VECTORS)), **more: Any) -> None:
    chunk = [item(int(KEYS[row]), VECTORS[row], category=1 + row % 5, popularity=row % 7, **more) for row in order]
    for start in range(0, len(chunk), 64):
        items.upsert(chunk[start : start + 64])


def search(items: LiveItems, queries: NDArray[np.float32], k: int, category: int = 0, **more: Any) -> list[list[int]]:
    """Keys found for each query."""
    views = [items.view(TENANT, category)] * len(queries)
    rows = items.search(queries, k, views, more.get("excluded"))
    return [[int(items.columns.keys[row]) for row in found if row >= 0] for found in rows]


def truth(queries: NDArray[np.float32], k: int) -> list[list[int]]:
    return [[int(KEYS[row]) for row in np.argsort(-(VECTORS @ query))[:k]] for query in queries]


def test_the_best_are_among_those_that_the_ranker_scores_in_full(items: LiveItems) -> None:
    fill(items)
    found = search(items, QUERIES, 96)
    assert all(best[0] in row[:5] for row, best in zip(found, truth(QUERIES, 1), strict=True))
    assert np.mean([len(set(a) & set(b)) / 60 for a, b in zip(found, truth(QUERIES, 60), strict=True)]) >= 0.999


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 19, 20, 21, 33, 64])
def test_a_batch_answers_as_its_queries_do_alone(items: LiveItems, batch: int) -> None:
    fill(items)
    alone = [search(items, QUERIES[row : row + 1], 50)[0] for row in range(batch)]
    assert search(items, QUERIES[:batch], 50) == alone


def test_the_order_in_which_items_came_makes_no_difference(make: Make) -> None:
    items, other = make(), make()
    fill(items)
    fill(other, rng.permutation(len(VECTORS)).tolist())
    assert search(items, QUERIES, 50) == search(other, QUERIES, 50)


def test_equal_items_have_one_order(items: LiveItems) -> None:
    same = [item(int(key), VECTORS[0]) for key in KEYS[:40]]
    items.upsert(same)
    before = search(items, QUERIES[:1], 40)
    items.remove([int(key) for key in KEYS[:40]])
    items.upsert(same[::-1])
    assert search(items, QUERIES[:1], 40) == before


@pytest.mark.parametrize("k", [1, 10, 60, 250])
def test_k_is_respected_and_nothing_comes_twice(items: LiveItems, k: int) -> None:
    fill(items)
    for found in search(items, QUERIES, k):
        assert len(found) == len(set(found)) == k


def test_asking_for_more_than_there_is_gives_all(items: LiveItems) -> None:
    fill(items, range(5))
    assert [sorted(found) for found in search(items, QUERIES[:3], 60)] == [sorted(KEYS[:5].tolist())] * 3


def test_an_empty_catalogue_answers_nothing(items: LiveItems) -> None:
    assert search(items, QUERIES[:2], 60) == [[], []]


def test_excluded_items_are_left_out_for_their_query_alone(items: LiveItems) -> None:
    fill(items)
    before = search(items, QUERIES[:2], 30)
    hidden = [items.rows_of(np.array(before[0][:10])), np.zeros(0, np.int64)]
    after = search(items, QUERIES[:2], 30, excluded=hidden)
    assert after[0][:20] == before[0][10:]
    assert after[1] == before[1]


def test_an_upsert_is_seen_and_replaces(items: LiveItems) -> None:
    fill(items)
    for query in QUERIES[:3]:
        items.upsert([item(99, query)])
        assert search(items, query[None], 5)[0][0] == 99
    assert len(items) == len(VECTORS) + 1


def test_a_deleted_item_is_gone_and_its_row_is_used_again(items: LiveItems) -> None:
    fill(items)
    best = search(items, QUERIES[:1], 1)[0][0]
    capacity = items.capacity
    for _ in range(3):
        items.remove([best])
        assert best not in search(items, QUERIES[:1], 200)[0]
        assert items.rows_of(np.array([best])) == -1
        items.upsert([item(best, QUERIES[0])])
        assert search(items, QUERIES[:1], 1)[0] == [best]
    items.remove([1, 2, 3])
    assert (len(items), items.capacity) == (len(VECTORS), capacity)


def test_what_is_out_of_stock_is_not_answered_but_known(items: LiveItems) -> None:
    fill(items)
    best = search(items, QUERIES[:1], 1)[0][0]
    items.upsert([item(best, QUERIES[0], eligible=False)])
    assert best not in search(items, QUERIES[:1], 200)[0]
    row = items.rows_of(np.array([best]))[0]
    assert row >= 0
    assert np.allclose(items.columns.table.fused[row], QUERIES[0] / 14, atol=1e-6)
    assert items.eligible_count == len(VECTORS) - 1


def test_tenants_never_mix(items: LiveItems) -> None:
    fill(items)
    foreign = [item(1000 + number, query, tenant=OTHER) for number, query in enumerate(QUERIES)]
    items.upsert(foreign)
    assert not {row.key for row in foreign} & {key for found in search(items, QUERIES, 200) for key in found}
    views = [items.view(OTHER, 0), items.view(TENANT, 0)]
    rows = items.search(QUERIES[:2], 5, views)
    assert items.columns.keys[rows[0][0]] == 1000
    assert items.columns.keys[rows[1][0]] != 1001


def test_a_department_answers_with_its_own_items_only(items: LiveItems) -> None:
    fill(items)
    inside = {int(key) for key in KEYS[2::5]}
    for found in search(items, QUERIES[:5], 100, category=3):
        assert len(found) == 100
        assert set(found) <= inside


def test_growing_loses_nothing(items: LiveItems) -> None:
    fill(items, range(100))
    before = search(items, QUERIES, 50)
    far = [item(10_000 + number, -QUERIES[0]) for number in range(5000)]
    items.upsert(far)
    items.remove([row.key for row in far])
    assert items.capacity > START
    assert search(items, QUERIES, 50) == before


def test_the_committed_scoring_graph_is_what_its_module_builds() -> None:
    assert FILE.read_bytes() == build()

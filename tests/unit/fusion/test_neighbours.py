"""Session neighbours, trend counters and the blend's parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.blend import best_of_rows, ranks, rule_values, union, values_at
from fusion.neighbours import NeighbourSettings, SessionNeighbours
from fusion.trend import TrendCounters

sessions_of_five = st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=6), min_size=1, max_size=12)


def by_hand(sessions: list[list[int]], prefix: list[int], rules: NeighbourSettings, items: int) -> np.ndarray:
    """The same votes from the definition, when every session may be a candidate and a neighbour."""
    scores = np.zeros(items)
    last = [{item: at for at, item in enumerate(session)} for session in sessions]
    holds = [sum(item in session for session in last) for item in range(items)]
    place = {item: at for at, item in enumerate(prefix)}
    for session in last:
        shared = sorted((place[item], item) for item in session if item in place)
        if not shared:
            continue
        similarity = sum((at + 1) / len(prefix) for at, _ in shared)
        step, match = len(prefix) - shared[-1][0], shared[-1][1]
        for item, position in session.items():
            away = position - session[match]
            vote = similarity * step**-rules.match_power * (1 + rules.idf * np.log(len(sessions) / holds[item]))
            scores[item] += vote / (1 + rules.distance * abs(away)) * (rules.before if away < 0 else 1)
    return scores


@settings(max_examples=40, deadline=None)
@given(sessions=sessions_of_five, prefix=st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_votes_are_those_of_the_definition(sessions: list[list[int]], prefix: list[int]) -> None:
    index = SessionNeighbours(5)
    for session in sessions:
        index.add(session)
    items, values = index.look_up(np.array([[-1, *prefix]]), 5)
    found = np.zeros(5)
    found[items[0][items[0] >= 0]] = values[0][items[0] >= 0]
    np.testing.assert_allclose(found, by_hand(sessions, prefix, index.settings, 5), rtol=1e-4, atol=1e-5)


def test_a_session_that_just_ended_is_a_neighbour_at_once() -> None:
    index = SessionNeighbours(3)
    index.add([0, 1])
    assert 2 not in index.look_up(np.array([[0]]), 3)[0]
    index.add([0, 2])
    assert 2 in index.look_up(np.array([[0]]), 3)[0]


def test_only_the_newest_sessions_of_an_item_vote() -> None:
    index = SessionNeighbours(4, NeighbourSettings(newest=2))
    for session in ([0, 1], [0, 2], [0, 3]):
        index.add(session)
    items, _ = index.look_up(np.array([[0]]), 4)
    assert 1 not in items
    assert {2, 3} <= set(items[0].tolist())


@settings(deadline=None)
@given(clicks=st.lists(st.integers(0, 3), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_counting_a_log_at_once_equals_counting_click_by_click(clicks: list[int], cut: int) -> None:
    single, block = TrendCounters(4, (3.0, 10.0)), TrendCounters(4, (3.0, 10.0))
    for item in clicks:
        single.add(item)
    for part in (clicks[:cut], clicks[cut:]):
        block.add_all(np.array(part, dtype=np.int64))
    np.testing.assert_allclose(single.counts(), block.counts(), rtol=1e-9)
    np.testing.assert_allclose(single.features(), block.features(), rtol=1e-5, atol=1e-6)


def test_an_item_clicked_lately_is_lifted() -> None:
    counters = TrendCounters(2, (5.0,))
    counters.add_all(np.array([0] * 20 + [1] * 20))
    lift = counters.features()[:, 1]
    assert lift[1] > 0 > lift[0]


def test_windows_must_be_positive() -> None:
    with pytest.raises(ValueError, match="windows"):
        TrendCounters(2, (0.0,))


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.integers(-1, 6), min_size=8, max_size=8), min_size=1, max_size=4))
def test_a_union_keeps_every_candidate_once(rows: list[list[int]]) -> None:
    for before, after in zip(rows, union(np.array(rows, dtype=np.int64)), strict=True):
        kept = [item for item in after.tolist() if item >= 0]
        assert sorted(kept) == sorted({item for item in before if item >= 0})


def test_what_a_source_says_is_looked_up_by_item() -> None:
    candidates = np.array([[4, 2, -1, 9]])
    values = values_at(candidates, np.array([[2, 9, -1]]), np.array([[0.5, 0.25, 7.0]], dtype=np.float32))
    assert values.tolist() == [[0.0, 0.5, 0.0, 0.25]]


def test_rules_are_read_from_a_sparse_table() -> None:
    starts, columns, weights = np.array([0, 2, 3]), np.array([1, 3, 0]), np.array([0.5, 0.25, 1.0], dtype=np.float32)
    assert rule_values(np.array([[3, 0], [3, 0]]), np.array([0, 1]), starts, columns, weights).tolist() == [[0.25, 0], [0, 1]]
    assert best_of_rows(starts, columns, weights, 1).tolist() == [[1], [0]]


def test_the_highest_value_has_rank_one_and_a_source_that_says_nothing_has_none() -> None:
    assert ranks(np.array([[0.5, 0.0, 0.9, 0.5]], dtype=np.float32), 240).tolist() == [[2, 240, 1, 3]]

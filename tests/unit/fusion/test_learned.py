"""What the stream teaches: upsert, forget, bounds, shops apart, and the same bits whatever was compacted or batched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import learned as learned_module
from fusion.learned import Heard, Learned
from fusion.neighbours import SessionNeighbours

A, B, C, D = 11, 22, 33, 44


def hear(learned: Learned, *prefix: int, proposed: tuple[int, ...] = ()) -> Heard:
    return learned.hear(np.array([[0, *prefix]]), np.array([[*proposed, 0]]), 5, 5)


def proposals(learned: Learned, *prefix: int) -> set[int]:
    return {key for key in hear(learned, *prefix).keys[0].tolist() if key}


def bits(heard: Heard) -> list[bytes]:
    return [heard.keys.tobytes(), heard.trend.tobytes(), *(part.tobytes() for part in heard.said[1:])]


def test_a_session_replaces_what_was_known_of_it_and_its_clicks_count_once() -> None:
    learned = Learned()
    learned.upsert(b"s", [A, B], 2)
    learned.upsert(b"s", [A, B, C], 3)
    learned.upsert(b"s", [A, B, C], 3)
    assert len(learned) == 1
    assert learned.counters.clicks == 3
    assert learned.counters.total.tolist() == [1, 1, 1]
    assert proposals(learned, A) == {A, B, C}


def test_touches_that_are_no_longer_listed_are_not_counted_again() -> None:
    learned = Learned()
    learned.upsert(b"s", [A, B], 2)
    learned.upsert(b"s", [B, C], 5)
    assert learned.counters.clicks == 4  # both that are listed: three are new, one of them is listed no more
    learned.upsert(b"s", [C, D], 6)
    assert learned.counters.clicks == 5


def test_a_forgotten_session_says_nothing_any_more() -> None:
    learned = Learned()
    learned.upsert(b"s", [A, B], 2)
    learned.upsert(b"t", [A, C], 2)
    assert learned.forget(b"s")
    assert not learned.forget(b"s")
    assert proposals(learned, A) == {A, C}
    heard = hear(learned, A, proposed=(B,))
    assert [part[0, 0] for part in heard.said[1:5]] == [0, 0, 0, 0]


def test_the_oldest_sessions_leave_first_the_log_before_the_stream() -> None:
    learned = Learned(most=2)
    learned.seed(np.array([A, B]), np.array([0, 1]), np.array([2]))
    learned.upsert(b"s", [A, C], 2)
    assert proposals(learned, A) == {A, B, C}
    learned.upsert(b"t", [C, D], 2)
    assert proposals(learned, A) == {A, C}
    learned.upsert(b"s", [A, C, D], 3)  # is the newer one now
    learned.upsert(b"u", [B, D], 2)
    assert len(learned) == 2
    assert {b"s", b"u"} == set(learned._sessions)


def test_unknown_items_are_as_if_they_had_not_been_touched_and_have_the_trend_of_nothing() -> None:
    learned = Learned()
    learned.upsert(b"s", [A, B], 2)
    assert bits(hear(learned, 99, A, 98)) != bits(hear(learned, 99, 98))
    assert [part.tobytes() for part in hear(learned, 99, A, 98).said] == [
        part.tobytes() for part in hear(learned, 0, 0, A).said
    ]
    assert hear(learned, A, proposed=(99,)).trend[0, 0].tolist() == learned.counters.unseen().tolist()


def by_hand(sessions: list[list[int]], prefix: list[int], items: int) -> np.ndarray[Any, Any]:
    """Co-visits from their definition: cosine of shared sessions plus share of transitions, by 1 / steps back."""
    last = [{item: at for at, item in enumerate(session)} for session in sessions]
    holds = [sum(item in session for session in last) for item in range(items)]
    scores = np.zeros(items)
    for step, item in enumerate(reversed(prefix), start=1):
        shared, follow = np.zeros(items), np.zeros(items)
        for session in last:
            for other, place in session.items():
                if item in session and other != item:
                    shared[other] += 1
                    ahead = place - session[item]
                    follow[other] += 1 / ahead if 0 < ahead <= 10 else 0
        for other in range(items):
            cosine = shared[other] / np.sqrt(holds[item] * holds[other]) if shared[other] else 0
            scores[other] += (cosine + (follow[other] / follow.sum() if follow.sum() else 0)) / step
    return scores


@settings(max_examples=40, deadline=None)
@given(
    sessions=st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=6), min_size=1, max_size=12),
    prefix=st.lists(st.integers(0, 4), min_size=1, max_size=5),
)
def test_co_visits_are_those_of_the_definition(sessions: list[list[int]], prefix: list[int]) -> None:
    index = SessionNeighbours(5)
    for session in sessions:
        index.add(session)
    said = index.consult(np.array([[-1, *prefix]]), np.arange(5)[None], 5, 5)
    np.testing.assert_allclose(said.pairs[0, :5], by_hand(sessions, prefix, 5), rtol=1e-4, atol=1e-6)
    items, values = index.look_up(np.array([[-1, *prefix]]), 5)
    votes = np.zeros(5)
    votes[items[0][items[0] >= 0]] = values[0][items[0] >= 0]
    np.testing.assert_array_equal(said.votes[0, :5], votes.astype(np.float32))


def busy(seed: int, most: int = 60) -> Learned:
    rng = np.random.default_rng(seed)
    learned = Learned(most=most)
    for _ in range(300):
        name = b"%d" % rng.integers(0, 80)
        if rng.random() < 0.1:
            learned.forget(name)
        else:
            items = rng.integers(1, 30, rng.integers(2, 9)).tolist()
            learned.upsert(name, items, len(items))
    return learned


def queries(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(5)
    proposed = np.array([rng.permutation(np.arange(1, 31))[:6] for _ in range(count)])
    return rng.integers(0, 30, (count, 6)), proposed


def test_compaction_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = busy(3)
    monkeypatch.setattr(learned_module, "SLACK", -59)  # compacts at almost every step
    eager = busy(3)
    assert lazy.neighbours.dead > eager.neighbours.dead
    assert bits(lazy.hear(*queries(20), 5, 5)) == bits(eager.hear(*queries(20), 5, 5))


def test_an_answer_does_not_depend_on_its_batch_bit_for_bit() -> None:
    learned = busy(4)
    prefix, proposed = queries(20)
    whole = learned.hear(prefix, proposed, 5, 5)
    for row in range(20):
        alone = learned.hear(prefix[row : row + 1], proposed[row : row + 1], 5, 5)
        assert alone.keys.tobytes() == whole.keys[row].tobytes()
        assert alone.trend.tobytes() == whole.trend[row].tobytes()
        assert [part.tobytes() for part in alone.said[1:]] == [part[row].tobytes() for part in whole.said[1:]]


def test_a_log_and_a_stream_of_the_same_sessions_teach_the_same() -> None:
    streamed, seeded = Learned(), Learned()
    sessions = [[A, B, C], [B, D], [A, D, D]]
    for number, session in enumerate(sessions):
        streamed.upsert(b"%d" % number, session, len(session))
    keys = np.array([A, B, C, D])
    rows = {key: row for row, key in enumerate(keys.tolist())}
    seeded.seed(keys, np.array([rows[item] for session in sessions for item in session]), np.array([3, 2, 3]))
    one, other = hear(streamed, A, B, proposed=(C,)), hear(seeded, A, B, proposed=(C,))
    assert [part.tobytes() for part in one.said] == [part.tobytes() for part in other.said]
    np.testing.assert_allclose(one.trend, other.trend, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="4 items known"):
        seeded.seed(keys, np.array([0]), np.array([1]))


def test_votes_are_the_same_bits_without_co_visits() -> None:
    learned = busy(5)
    prefix, proposed = queries(20)
    every, votes = learned.hear(prefix, proposed, 5, 0), learned.hear(prefix, proposed, 5, 0, with_pairs=False)
    assert every.said.pairs.any()
    assert not votes.said.pairs.any()
    assert not votes.said.last.any()
    assert votes.keys.tobytes() == every.keys.tobytes()
    assert votes.said.votes.tobytes() == every.said.votes.tobytes()

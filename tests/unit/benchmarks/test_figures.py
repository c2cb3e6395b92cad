"""From measurements to figures: the search for the highest rate, medians, ratios, layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.driver import Measured
from benchmarks.layers import layer_costs, medians, ratios
from benchmarks.limits import RATES, highest_rate


@given(limit=st.floats(0, 8000), start=st.floats(0, 8000))
def test_the_search_finds_the_highest_rate_that_holds_from_anywhere(limit: float, start: float) -> None:
    expected = max((rate for rate in RATES if rate <= limit), default=0.0)
    assert highest_rate(lambda rate: rate <= limit, start) == expected


def test_a_failure_is_tried_again_and_three_are_a_limit() -> None:
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate < 800 and tried.count(rate) == 3

    assert highest_rate(holds, 600) == 700
    assert tried == [600, 600, 600, 700, 700, 700, 800, 800, 800]


def test_a_system_that_keeps_no_rate_has_none() -> None:
    assert highest_rate(lambda _: False, 5000) == 0


def test_ratios_are_taken_round_by_round() -> None:
    rounds = {
        "product": {"200.0": [{"p50": 4.0}, {"p50": 30.0}, {"p50": 6.0}]},
        "triton": {"200.0": [{"p50": 2.0}, {"p50": 20.0}, {"p50": 2.0}]},
    }
    found = ratios(rounds, {"product": [900.0], "triton": [1000.0]})
    assert found["p50 at 200/s"] == {"median": 2.0, "min": 1.5, "max": 3.0}
    assert found["highest rate"]["median"] == 0.9
    assert ratios({"echo": {}}, {}) == {}


def test_layers_are_differences_that_add_up_to_the_product() -> None:
    median = {
        name: {"200.0": medians([{"p50": p50, "p99": 2 * p50}])}
        for name, p50 in (("echo", 1.0), ("inprocess", 4.0), ("triton", 3.5), ("product", 5.0))
    }
    costs = layer_costs(median, "200.0")
    assert [row["p50"] for row in costs] == [1.0, 3.0, -0.5, 1.5]
    assert sum(float(row["p99"]) for row in costs) == 10.0


def test_percentiles_include_every_event_and_what_was_not_answered_is_told() -> None:
    measured = Measured(rate=100, seconds=1, sent=101, latencies=[float(n) for n in range(101)], unanswered=2)
    summary = measured.summary()
    assert (summary["p50"], summary["p99"], summary["max"], summary["unanswered"]) == pytest.approx((50, 99, 100, 2))
    assert "p50" not in Measured(rate=1, seconds=1).summary()

"""What the benchmarks of the flip and of the ways to run the networks conclude from what they measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.flip import AFTER, BEFORE, DURING, Change, spans
from benchmarks.inference import chosen, is_invariant, overlap


def test_a_slow_second_after_the_command_shows_in_the_ratio_and_one_before_it_too() -> None:
    times = np.arange(-BEFORE, DURING + AFTER, 0.01)
    latencies = np.full(len(times), 10.0)
    latencies[(times >= 1) & (times < 2)] = 40.0
    counts = {"unanswered": 0, "sending_late_ms": 0.5}
    found = spans(Change("one", 0.2, times, latencies, counts))
    assert (found["before_p99"], found["during_p99"], found["after_p99"]) == (10.0, 40.0, 10.0)
    assert found["p99_during_to_before"] == pytest.approx(4.0)
    earlier = spans(Change("one", 0.2, times - 5, latencies, counts))
    assert earlier["p99_during_to_before"] == pytest.approx(0.25)


def test_a_function_whose_rows_depend_on_their_batch_is_found_out() -> None:
    rows = np.random.default_rng(0).standard_normal((33, 4)).astype(np.float32)

    def by_row(feeds: Any) -> tuple[Any, ...]:
        return (feeds["x"] * 2,)

    def by_batch(feeds: Any) -> tuple[Any, ...]:  # one scale for the whole batch, as dynamic quantisation has
        scale = np.abs(feeds["x"]).max() / 127
        return (np.rint(feeds["x"] / scale) * scale,)

    assert is_invariant(by_row, {"x": rows})
    assert not is_invariant(by_batch, {"x": rows})


def test_another_way_serves_only_if_it_agrees_is_invariant_and_is_clearly_faster() -> None:
    def line(way: str, time: float, agreement: float, *, invariant: bool, network: str = "n") -> dict[str, Any]:
        return {"network": network, "way": way, "us_per_row_8": time, "overlap_at_20": agreement, "batch_invariant": invariant}

    lines = [
        line("int8", 1.0, 0.95, invariant=True),
        line("bf16", 2.0, 0.995, invariant=False),
        line("good", 3.0, 0.99, invariant=True),
        line("ONNX Runtime fp32", 4.0, 1.0, invariant=True),
        line("ONNX Runtime fp32", 4.0, 1.0, invariant=True, network="search, 9 items"),
        line("int8 by integers, ours", 4.5, 1.0, invariant=True, network="search, 9 items"),
        {"network": "n", "way": "compiled", "problem": "no compiler"},
    ]
    assert chosen(lines) == {"n": "good", "search, 9 items": "int8 by integers, ours"}
    lines[2]["us_per_row_8"] = 3.5
    assert chosen(lines)["n"] == "ONNX Runtime fp32"
    ours, theirs = np.arange(40).reshape(2, 20), np.arange(40).reshape(2, 20)[:, ::-1].copy()
    theirs[0, :5] = 99
    assert overlap(ours, theirs) == pytest.approx((15 / 20 + 1) / 2)

"""The verdicts of a long run: growth is found, noise is not called growth, and a short run is not called good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import ConfigurationError
from nemesis.soak import read_record, summary_of, write_summary
from nemesis.soak_slope import is_flat, slope

PLAN = {"hours": 2.0, "rate": 100.0, "warm_up_seconds": 600.0}


def lines(grows_mb_per_hour: float, *, hours: float = 2.0, noise_mb: float = 0.5, **changed: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    held = {"rss_mb": 90.0, "pss_mb": 80.0, "files": 30, "segments": 0, "threads": 9}
    found = []
    for seconds in np.arange(5.0, hours * 3600, 5.0):
        anonymous = 70 + grows_mb_per_hour * seconds / 3600 + rng.normal(0, noise_mb)
        found.append(
            {
                "seconds": float(seconds),
                "processes": {"worker-0": {**held, "anonymous_mb": float(anonymous)}},
                "restarts": {"worker-0": 0},
                "shared_memory_bytes": 4096,
                "pages": 500,
                "degraded": 0,
                "p50_ms": 6.0,
                "p99_ms": 20.0,
                "sessions": 900.0,
                "lag": 2.0,
                "sent": int(seconds * 100),
                **changed,
            }
        )
    return found


def test_a_process_that_grows_by_two_megabytes_an_hour_fails() -> None:
    summary = summary_of(PLAN, lines(2.0))
    assert summary["verdicts"]["memory"] == "fails"
    assert summary["processes"]["worker-0"]["anonymous_mb"]["per_hour"] == pytest.approx(2.0, abs=0.2)


def test_noise_alone_holds_after_two_hours() -> None:
    assert set(summary_of(PLAN, lines(0.0))["verdicts"].values()) == {"holds"}


def test_a_few_noisy_minutes_are_undecided_not_good() -> None:
    summary = summary_of({**PLAN, "warm_up_seconds": 60.0}, lines(0.0, hours=0.07))
    assert summary["verdicts"]["memory"] == "undecided"


def test_growth_in_the_warm_up_does_not_count() -> None:
    record = lines(0.0)
    for line in record[:100]:
        line["processes"]["worker-0"]["anonymous_mb"] = line["seconds"] / 10
    assert summary_of(PLAN, record)["verdicts"]["memory"] == "holds"


@pytest.mark.parametrize("what", ["files", "threads"])
def test_files_and_threads_that_leak_fail(what: str) -> None:
    record = lines(0.0)
    for number, line in enumerate(record):
        line["processes"]["worker-0"][what] += number // 300
    assert summary_of(PLAN, record)["verdicts"][what] == "fails"


def test_segments_of_kafkas_log_are_no_leak_of_files() -> None:
    record = lines(0.0)
    for number, line in enumerate(record):
        line["processes"]["worker-0"]["files"] += number // 300
        line["processes"]["worker-0"]["segments"] += number // 300
    assert summary_of(PLAN, record)["verdicts"]["files"] == "holds"


def test_shared_memory_that_grows_and_a_restart_fail() -> None:
    record = lines(0.0, restarts={"worker-0": 1})
    for number, line in enumerate(record):
        line["shared_memory_bytes"] += 1024 * number
    verdicts = summary_of(PLAN, record)["verdicts"]
    assert (verdicts["shared_memory"], verdicts["restarts"]) == ("fails", "fails")


def test_a_staircase_is_not_taken_for_many_independent_samples() -> None:
    # One step of 0.4 MB in an hour of samples every 5 s: taken one by one they would make the slope look certain.
    values = [0.0] * 360 + [0.4] * 360
    found = slope([number / 720 for number in range(720)], values)
    assert found is not None
    assert found.high - found.low > 0.1


def test_flat_allows_the_tolerance_and_no_more() -> None:
    assert is_flat([10, 10, 11, 12], tolerance=2)
    assert not is_flat([10, 10, 11, 13], tolerance=2)


def test_a_record_cut_short_still_gives_summary_and_picture(tmp_path: Path) -> None:
    record = tmp_path / "soak.jsonl"
    whole = "\n".join([json.dumps({"plan": PLAN}), *(json.dumps(line) for line in lines(0.0, hours=0.3))])
    record.write_text(whole + '\n{"seconds": 12')
    assert write_summary(record)["samples"] > 50
    assert record.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads(record.with_suffix(".json").read_text())["hours"] == pytest.approx(0.3, abs=0.01)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected the record of a soak"):
        read_record(tmp_path / "nothing.jsonl")

"""Rounds of the long run: how many kills each has, what they add up to, and how an interrupted run goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from nemesis import million
from nemesis.million import KILLS, Million, Round, in_words, summary_of
from nemesis.topic import Stored

PLAN = Million(events=100, kills=3, round_events=50)


def done(seed: int, *, violations: int = 0, evidence: str = "pid 1 became 2") -> Round:
    counts = dict.fromkeys(million._COUNTS, 0) | {"events": 50, "good": 48, "violation_count": violations}
    kills = [{"name": "kill -9 triton", "evidence": evidence}, {"name": "kill -9 broker", "evidence": "pid 3 became 4"}]
    words = ["law 1: lost"] * violations
    return Round(seed, "stack 1", "2026-01-01", 10.0, 2.0, 5, 150.0, counts, words, kills)


def test_every_plan_has_at_least_the_kills_that_were_asked_for() -> None:
    for events, kills, size in ((1_000_000, 50, 50_000), (20_000, 3, 10_000), (7, 5, 3), (100, 0, 10)):
        plan = Million(events=events, kills=kills, round_events=size)
        assert plan.kills_a_round * -(-events // size) >= kills


def test_the_summary_adds_the_rounds_up_and_tells_when_it_is_done() -> None:
    half = summary_of(PLAN, [done(1)])
    assert (half["counts"]["events"], half["kill_count"], half["done"], half["seconds_left"]) == (50, 2, False, 12)
    whole = summary_of(PLAN, [done(1), done(2)])
    assert (whole["kills"], whole["done"], whole["laws_hold"], whole["valid"]) == (
        {"kill -9 triton": 2, "kill -9 broker": 2}, True, True, True,
    )  # fmt: skip
    assert in_words(whole).startswith("100 events and 4 kill -9: 0 lost")


def test_a_violation_and_a_kill_that_did_not_happen_are_not_lost_in_the_sum() -> None:
    summary = summary_of(PLAN, [done(1), done(2, violations=1), done(3, evidence="")])
    assert (summary["laws_hold"], summary["valid"], summary["violations"]) == (False, False, ["law 1: lost"])
    assert summary["kills"]["kill -9 triton"] == 2


def test_a_run_goes_on_after_its_whole_rounds_and_a_finished_one_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "million.json"
    rounds = [done(1), done(2)]
    file.write_text(json.dumps(summary_of(PLAN, rounds)))
    assert million._rounds_of(file, PLAN) == rounds
    assert million.run(PLAN, file)["counts"]["events"] == 100  # a stack would take longer than this test may


def test_the_rounds_of_another_plan_are_not_mixed_in(tmp_path: Path) -> None:
    file = tmp_path / "million.json"
    file.write_text(json.dumps(summary_of(PLAN, [done(1)])))
    with pytest.raises(ConfigurationError, match="another plan"):
        million._rounds_of(file, replace(PLAN, seed=2))
    assert asdict(PLAN)["seed"] == 1


def test_each_kind_of_process_is_killed() -> None:
    assert {"worker-0", "worker-1", "triton", "page_ranker", "broker"} == {fault.name.split()[-1] for fault in KILLS}


def test_the_sample_lets_everything_pass_and_keeps_its_visitors() -> None:
    sample = million._Sample(Million(visitors=10, sample=2))
    records = [Stored(0, number, f"default|v{number}".encode(), b"{}", 0, ()) for number in range(10)]
    assert list(sample.events(records)) == records
    assert [record.key for record in sample.held_events] == [b"default|v0", b"default|v5"]

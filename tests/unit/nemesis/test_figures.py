"""What a fault cost, from pages and events; and the summary of a series."""

from __future__ import annotations

from typing import Any

import msgspec

from nemesis import figures
from nemesis.checker import Expected, Place
from nemesis.run import Inflicted, Outcome
from nemesis.series import Series, summary_of
from nemesis.topic import Stored

FAULT_MS, HEALED_MS = 10_000, 15_000


def event(partition: int, offset: int, at_ms: int) -> Stored:
    return Stored(partition, offset, b"v", b"{}", at_ms, ())


def page(partition: int, offset: int, generated: int, *, degraded: bool = False, age: float = 5.0) -> Stored:
    value = {
        "source": {"partition": partition, "offset": offset},
        "generated_time": generated,
        "degraded": degraded,
        "latency_ms": {"event_to_emit": age},
    }
    return Stored(partition, 0, f"v{partition}".encode(), msgspec.json.encode(value), generated, ())


def cost(events: list[Stored], pages: list[Stored], places: list[tuple[int, int]]) -> Inflicted:
    fault = Inflicted("kill", "pid 1 became 2", 1.0, FAULT_MS, HEALED_MS, health_told=True, heal_seconds=5.0)
    wanted: dict[Place, dict[str, Any]] = {(f"v{partition}".encode(), partition, offset): {} for partition, offset in places}
    figures.add([fault], events, pages, Expected(wanted, {}, set(), 0))
    return fault


def test_recovery_is_over_when_the_last_partition_has_a_full_page_for_a_fresh_event() -> None:
    events = [event(0, 0, 9_000), event(0, 1, 10_500), event(1, 0, 11_000), event(1, 1, 12_000)]
    pages = [page(0, 0, 10_100), page(0, 1, 10_600), page(1, 0, 11_500, degraded=True), page(1, 1, 14_000)]
    fault = cost(events, pages, [(0, 1), (1, 1)])
    assert fault.recovery_seconds == 4.0
    assert fault.degraded_pages == 1


def test_a_partition_that_stays_without_pages_has_not_recovered_and_its_events_are_lost() -> None:
    events = [event(0, 0, 10_500), event(1, 0, 11_000)]
    fault = cost(events, [page(0, 0, 10_600)], [(0, 0), (1, 0)])
    assert fault.recovery_seconds is None
    assert fault.lost == 1


def test_pages_made_again_and_the_greatest_age_are_those_of_the_time_of_the_fault() -> None:
    events = [event(0, 0, 10_500)]
    pages = [page(0, 0, 9_000, age=900.0), page(0, 0, 10_600, age=50.0), page(0, 0, 20_000)]
    fault = cost(events, pages, [(0, 0)])
    assert (fault.repeated_pages, fault.staleness_ms) == (1, 50.0)


def test_a_series_without_evidence_for_a_fault_is_not_valid() -> None:
    outcome = Outcome(1, 10.0, 5)
    outcome.faults.append(Inflicted("kill", "", 1.0, 0, 1, health_told=None, heal_seconds=1.0))
    summary = summary_of([outcome.summary()])
    assert not summary["valid"]
    assert summary["kinds"]["kill"]["happened"] == 0


def test_a_violation_in_any_run_is_told_with_its_seed() -> None:
    good, bad = Outcome(1, 10.0, 5), Outcome(2, 10.0, 5)
    bad.report.violations.append("law 1: somebody has no page")
    summary = summary_of([good.summary(), bad.summary()])
    assert not summary["laws_hold"]
    assert summary["violations"] == ["seed 2: law 1: somebody has no page"]
    assert "seed 2" in Series.in_words(summary)

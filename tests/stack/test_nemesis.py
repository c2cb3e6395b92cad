"""A slice of `make nemesis`: seeded faults on a whole stack, and the laws."""

from __future__ import annotations

import pytest

from nemesis.kinds import FAULTS_OF_ONE
from nemesis.run import Plan, run

pytestmark = pytest.mark.stack

SECONDS, SEED = 150.0, 5  # at most: it ends with the last of the faults
# One of each way to be harmed; `make nemesis` draws from all of them, `make nemesis-long` also with three brokers.
NAMES = (
    "kill -9 worker-0",
    "kill -9 stub of page_ranker",
    "kill -9 broker",
    "pause worker-0 for 5 s, longer than its session",
    "ranker connections reset",
    "half of the values poisoned",
    "every product published again",
    "10x burst for 5 s",
)


@pytest.mark.timeout(600)
def test_the_laws_hold_under_eight_kinds_of_faults() -> None:
    faults = [fault for fault in FAULTS_OF_ONE if fault.name in NAMES]
    outcome = run(Plan(SECONDS, SEED, faults, rate=30, most=len(NAMES)))
    assert outcome.report.violations == []
    assert [fault.name for fault in outcome.faults if not fault.evidence] == []
    assert {fault.name for fault in outcome.faults} == set(NAMES)
    assert [fault.name for fault in outcome.faults if fault.health_told is False] == []
    assert outcome.report.events == outcome.sent
    assert outcome.report.dead_letters > 0
    assert outcome.report.duplicates > 0
    assert sum(fault.lost for fault in outcome.faults) == 0

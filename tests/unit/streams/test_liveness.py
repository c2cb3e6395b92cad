"""What a worker says of itself while it starts, reads back, works and stands still."""

from __future__ import annotations

from streams.liveness import STALL_SECONDS, Readiness


def test_a_worker_that_reads_back_for_minutes_is_busy_as_long_as_records_come() -> None:
    readiness = Readiness(0.0)
    for second in range(600):
        health = readiness.preparing(float(second), 10_000 - second, "reading")
        assert (health.healthy, health.busy) == (False, True)
    standing = [readiness.preparing(600.0 + second, 1, "reading") for second in range(int(STALL_SECONDS) + 2)]
    assert [health.busy for health in standing] == [True] * (int(STALL_SECONDS) + 1) + [False]
    assert "nothing has come for 11 s" in standing[-1].detail


def test_what_waited_while_it_read_back_is_no_standstill() -> None:
    readiness = Readiness(0.0)
    readiness.movement.observe(1.0, 5, 100)
    readiness.preparing(300.0, 1, "reading")
    assert readiness.ready(300.0 + STALL_SECONDS).healthy
    stands = readiness.ready(301.0 + STALL_SECONDS)
    assert (stands.healthy, stands.busy, stands.detail) == (False, False, "no progress for 11 s while records wait")


def test_a_second_rebalance_is_given_its_own_time() -> None:
    readiness = Readiness(0.0)
    readiness.preparing(0.0, (1, 7), "reading")
    readiness.ready(50.0)
    assert readiness.preparing(100.0, (1, 7), "reading").busy

from hypothesis import given
from hypothesis import strategies as st

from stack.health import Backoff, HealthJudge, HealthRule, Verdict

TRITON = HealthRule(start_seconds=10.0, misses=2, hits=3)
WORKER = HealthRule(start_seconds=10.0, misses=2, miss_seconds=5.0)


def well(rule: HealthRule) -> HealthJudge:
    judge = HealthJudge(rule, 0.0)
    for _ in range(rule.hits):
        judge.observe(is_good=True, now=0.0)
    assert judge.is_healthy
    return judge


def test_a_server_is_healthy_after_three_good_canaries_and_not_before() -> None:
    judge = HealthJudge(TRITON, 0.0)
    verdicts = [judge.observe(is_good=True, now=float(n)) for n in range(3)]
    assert verdicts == [Verdict.STARTING, Verdict.STARTING, Verdict.HEALTHY]


def test_one_miss_is_forgiven_and_the_second_in_a_row_replaces_the_server() -> None:
    judge = well(TRITON)
    assert judge.observe(is_good=False, now=1.0) is Verdict.HEALTHY
    assert judge.observe(is_good=True, now=1.5) is Verdict.HEALTHY
    assert judge.observe(is_good=False, now=2.0) is Verdict.HEALTHY
    assert judge.observe(is_good=False, now=2.5) is Verdict.REPLACE
    assert not judge.is_healthy


def test_a_worker_is_replaced_only_after_it_was_silent_for_five_seconds() -> None:
    judge = well(WORKER)
    verdicts = [judge.observe(is_good=False, now=10.0 + second) for second in range(6)]
    assert verdicts == [Verdict.HEALTHY, *[Verdict.UNHEALTHY] * 4, Verdict.REPLACE]


def test_misses_while_something_else_is_down_replace_nothing_but_are_told() -> None:
    judge = well(WORKER)
    for second in range(60):
        judge.excuse(float(second))
    assert not judge.is_healthy
    assert judge.observe(is_good=False, now=60.0) is Verdict.UNHEALTHY
    assert judge.observe(is_good=True, now=61.0) is Verdict.HEALTHY


def test_a_process_that_never_gets_well_is_replaced_after_its_time_to_start() -> None:
    judge = HealthJudge(WORKER, 0.0)
    assert judge.observe(is_good=False, now=9.9) is Verdict.STARTING
    assert judge.observe(is_good=False, now=10.1) is Verdict.REPLACE


def test_waiting_for_the_broker_does_not_use_up_the_time_to_start() -> None:
    judge = HealthJudge(WORKER, 0.0)
    judge.excuse(9.0)
    assert judge.observe(is_good=False, now=15.0) is Verdict.STARTING


@given(st.lists(st.booleans(), max_size=60))
def test_a_process_is_never_replaced_while_its_newest_probe_is_good(observations: list[bool]) -> None:
    judge = HealthJudge(TRITON, 0.0)
    for second, is_good in enumerate(observations):
        verdict = judge.observe(is_good, float(second))
        assert not (is_good and verdict is Verdict.REPLACE)
        assert judge.is_healthy is (verdict is Verdict.HEALTHY)


def test_the_first_restart_is_immediate_and_the_next_wait_longer_and_longer() -> None:
    backoff = Backoff(first_seconds=0.5, most_seconds=4.0)
    waits = [backoff.next(1000.0 + n) for n in range(7)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_minute_of_health_makes_the_next_restart_immediate_again() -> None:
    backoff = Backoff()
    for n in range(5):
        backoff.next(1000.0 + n)
    assert backoff.next(1065.0) == 0.0

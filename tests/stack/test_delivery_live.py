"""Delivery on a real broker, a real Triton and real worker processes that are killed, compared with an offline oracle."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from contracts.settings import Settings
from contracts.topics import EVENTS, PAGES
from nemesis.checker import Report, check, oracle
from nemesis.topic import lag, read_topic
from nemesis.workload import Traffic, publish_items
from stack.addresses import free_address
from stack.environment import overridden
from stack.process import Child
from tests.conftest import ProcessFactory, SettingsFactory, wait_until_healthy

pytestmark = pytest.mark.stack
KILLS, CYCLES = 20, 5


def shop(make_settings: SettingsFactory, start_triton: ProcessFactory, **worker: Any) -> Settings:
    """Settings with a Triton of their own that holds a small catalogue."""
    settings = make_settings(
        triton={
            "grpc_address": free_address(),
            "metrics_address": free_address(),
            # A loaded machine must not turn into fallback pages here: those are tested elsewhere.
            "ranker_deadline_ms": 20_000.0,
        },
        worker={"session_timeout_seconds": 3.0, **worker},
        model={"learn": False},  # so that every page has the oracle's version and is compared in full
    )
    publish_items(settings)
    start_triton(settings)
    return settings


def verdict(settings: Settings, patience_seconds: float = 60.0) -> Report:
    """The checker's report, once the workers have committed everything."""
    deadline = time.monotonic() + patience_seconds
    while (left := lag(settings.kafka, settings.worker.group, EVENTS)) > 0:
        if time.monotonic() > deadline:
            pytest.fail(f"{left} events are not committed after {patience_seconds} s")
        time.sleep(0.25)
    events = read_topic(settings.kafka, EVENTS)
    return check(settings, events, read_topic(settings.kafka, PAGES), asyncio.run(oracle(settings, events)))


def test_twenty_kills_lose_nothing_and_show_nothing_twice(
    make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory
) -> None:
    rng = random.Random(11)
    settings = shop(make_settings, start_triton)
    with Traffic(settings, rate=60, seed=1) as traffic:
        worker = worker_process(settings)
        for number in range(KILLS):
            if number % 2 == 0:  # a worker at work; the others die while they start, recover or rebalance
                wait_until_healthy(worker, settings.worker.metrics_address)
            time.sleep(rng.uniform(0.0, 1.5))  # the moment of the kill is the input of this test
            worker.kill()
            worker.start()
    report = verdict(settings)
    assert report.violations == []
    assert report.events == traffic.sent
    assert report.dead_letters > 0
    assert report.duplicates > 0


def test_two_workers_share_the_partitions_and_take_over_with_the_sessions(
    make_settings: SettingsFactory, start_triton: ProcessFactory, worker_process: ProcessFactory
) -> None:
    settings = shop(make_settings, start_triton)
    second = overridden(settings, {"worker": {"instance_id": "1", "metrics_address": free_address()}})
    with Traffic(settings, rate=60, seed=2) as traffic:
        worker_process(settings)
        for cycle in range(CYCLES):
            other: Child = worker_process(second)
            time.sleep(1.0)  # both work for a while
            if cycle % 2:
                other.kill()
            else:
                other.stop(10)
    report = verdict(settings)
    assert report.violations == []
    assert report.events == traffic.sent

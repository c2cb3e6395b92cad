"""A service that hangs is called unwell within five seconds; one that gets ready is given the time."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from contracts.settings import Settings
from monitoring.server import Health, serve
from stack.environment import overridden
from stack.health import HealthRule
from stack.keeper import Keeper, Service
from stack.plan import Planner
from stack.process import Child

TRUTH_SECONDS = 5.0


def worker_at(address: str, var: Path, web: httpx.AsyncClient) -> Service:
    """The worker of a stack, which answers there."""
    stack = {"var": var, "triton": False, "prometheus": False, "gateway": False, "catalog_workers": 0}
    plan = Planner(overridden(Settings(), {"stack": stack, "worker": {"metrics_address": address}}), web).plan()
    return plan.services[-1]


def test_a_worker_that_hangs_is_called_unwell_within_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers, as a stopped process
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        async def patience() -> float:
            async with httpx.AsyncClient() as web:
                worker = worker_at(address, tmp_path, web)
                began = time.monotonic()
                assert await worker.probe() is False
                return worker.rule.misses * (worker.interval_seconds + time.monotonic() - began)

        assert asyncio.run(patience()) < TRUTH_SECONDS


@pytest.mark.parametrize(
    ("health", "word"),
    [
        (Health(healthy=True), True),
        (Health(healthy=False, busy=True, detail="reading"), None),
        (Health(healthy=False, detail="standing still"), False),
    ],
)
def test_the_probe_tells_a_worker_that_gets_ready_from_one_that_stands(
    health: Health, word: bool | None, tmp_path: Path
) -> None:
    server = serve("127.0.0.1:0", CollectorRegistry(), lambda: health, setting="X")

    async def asked() -> bool | None:
        async with httpx.AsyncClient(trust_env=False) as web:
            return await worker_at(f"127.0.0.1:{server.server_port}", tmp_path, web).probe()

    try:
        assert asyncio.run(asked()) is word
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("word", "is_replaced"), [(None, False), (False, True)])
def test_who_gets_ready_is_not_replaced_however_long_it_takes(word: bool | None, is_replaced: bool, tmp_path: Path) -> None:
    async def probe() -> bool | None:
        return word

    def child() -> Child:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        return Child("sleeper", command, {}, tmp_path / "sleeper.log", tmp_path)

    async def restarts() -> int:
        rule = HealthRule(start_seconds=0.3)
        keeper = Keeper(Service("sleeper", child, probe, rule, term_seconds=0), list, lambda: None)
        with suppress(TimeoutError):
            await asyncio.wait_for(keeper.run(), 2.0)
        await keeper.stop()
        return keeper.restarts

    assert (asyncio.run(restarts()) > 0) is is_replaced

"""A service that hangs is called unwell within five seconds."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import httpx

from contracts.settings import Settings
from stack.environment import overridden
from stack.plan import Planner

TRUTH_SECONDS = 5.0


def test_a_worker_that_hangs_is_called_unwell_within_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers, as a stopped process
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        async def patience() -> float:
            async with httpx.AsyncClient() as web:
                stack = {"var": tmp_path, "triton": False, "prometheus": False, "gateway": False, "catalog_workers": 0}
                plan = Planner(overridden(Settings(), {"stack": stack, "worker": {"metrics_address": address}}), web).plan()
                worker = plan.services[-1]
                began = time.monotonic()
                assert not await worker.probe()
                return worker.rule.misses * (worker.interval_seconds + time.monotonic() - began)

        assert asyncio.run(patience()) < TRUTH_SECONDS

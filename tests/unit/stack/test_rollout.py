"""The rollout's transitions, its file, the addresses that workers are told, and who is watched how closely."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from contracts.errors import ConfigurationError
from contracts.releases import releases_folder
from contracts.settings import Settings
from stack.environment import overridden
from stack.plan import Plan, Planner
from stack.priority import LOW, make_normal, may_raise
from stack.process import Child
from stack.rankers import routes_of
from stack.rollout import (
    FILE,
    SLOTS,
    Rollout,
    RolloutFile,
    flipped,
    retired,
    rolled_back,
    shadowed,
    started,
    warmed,
)
from tests.fakes import DEMO_VERSION

ONE = Rollout(slots={SLOTS[0]: 1})
BOTH = warmed(started(ONE, 2), 2)


def test_a_version_goes_from_the_shadow_to_live_and_back_and_the_other_keeps_running() -> None:
    tried = shadowed(BOTH, 2, 0.1)
    live = flipped(tried, 2)
    assert (live.live_version, live.shadow, live.share, dict(live.slots)) == (2, None, 0.0, {"triton": 1, "triton-2": 2})
    back = rolled_back(live)
    assert (back.live_version, rolled_back(back).live_version) == (1, 2)
    assert [ONE.serial, tried.serial, live.serial, back.serial] == [0, 2, 3, 4]


def test_after_the_old_one_ended_its_slot_is_free_for_the_next() -> None:
    third = started(retired(flipped(BOTH, 2), 1), 3)
    assert dict(third.slots) == {"triton-2": 2, "triton": 3}
    assert third.live_version == 2
    with pytest.raises(ConfigurationError, match="nothing to roll back to"):
        rolled_back(third)


@pytest.mark.parametrize(
    ("transition", "reason"),
    [
        (lambda: flipped(started(ONE, 2), 2), "not eligible"),
        (lambda: flipped(ONE, 7), "version 7 does not run; running: 1"),
        (lambda: flipped(BOTH, 1), "live already"),
        (lambda: shadowed(BOTH, 1, 0.1), "its own shadow"),
        (lambda: shadowed(BOTH, 2, 1.5), "expected 0 to 1"),
        (lambda: retired(flipped(BOTH, 2), 2), "flip to another one before ending it"),
        (lambda: started(BOTH, 3), "end that one first: vitrine models retire 2"),
        (lambda: rolled_back(BOTH), "nothing to roll back to"),
        (lambda: flipped(started(retired(BOTH, 2), 2), 2), "not eligible"),
    ],
)
def test_what_is_not_safe_is_refused_with_what_to_do(transition: Callable[[], Rollout], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        transition()


def test_the_file_keeps_the_rollout_and_a_refused_change_leaves_it_as_it_was(tmp_path: Path) -> None:
    file = RolloutFile(tmp_path, 1)
    assert file.read() == ONE
    written = file.change(lambda rollout: warmed(started(rollout, 2), 2))
    assert RolloutFile(tmp_path, 1).read() == written == BOTH
    with pytest.raises(ConfigurationError):
        file.change(lambda rollout: retired(rollout, 1))
    assert file.read() == BOTH


@pytest.mark.parametrize("damage", ["not json", json.dumps({"slots": {"triton": 1}, "live": "elsewhere", "warm": []})])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_text(damage)
    with pytest.raises(ConfigurationError, match=r"rollout\.json"):
        RolloutFile(tmp_path, 1).read()


def test_workers_are_told_who_answers_and_who_is_only_asked() -> None:
    addresses = {"triton": "127.0.0.1:8001", "triton-2": "127.0.0.1:40001"}
    tried = routes_of(shadowed(BOTH, 2, 0.1), addresses)
    assert (tried.live.version, tried.live.address) == (1, "127.0.0.1:8001")
    assert tried.shadow is not None
    assert (tried.shadow.version, tried.shadow.address, tried.shadow_share) == (2, "127.0.0.1:40001", 0.1)
    live = routes_of(flipped(BOTH, 2), addresses)
    assert (live.live.version, live.live.address, live.shadow) == (2, "127.0.0.1:40001", None)


def test_a_candidate_whose_files_went_away_does_not_keep_the_stack_from_starting(tmp_path: Path) -> None:
    settings = overridden(Settings(), {"stack": {"var": tmp_path, "kafka": True, "prometheus": False}})

    async def plan() -> Plan:
        async with httpx.AsyncClient() as web:
            return Planner(settings, web).plan()

    RolloutFile(releases_folder(settings), DEMO_VERSION).change(lambda rollout: shadowed(started(rollout, 9), 9, 0.1))
    planned = asyncio.run(plan())
    assert [service.name for service in planned.services if service.name in SLOTS] == ["triton"]
    assert any(note.startswith("model version 9 does not run: version 9 is not published") for note in planned.notes)
    assert planned.rankers is not None
    assert routes_of(planned.rankers.rollout, planned.rankers.addresses()).shadow is None


@pytest.mark.skipif(not may_raise(), reason="this user may not raise a priority that was lowered")
def test_a_candidate_gets_its_share_of_the_processor_back(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    )
    child = Child("candidate", [sys.executable, "-c", code], dict(os.environ), tmp_path / "log", tmp_path, LOW)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    child.start()
    try:
        assert child.pid is not None
        pids = _family(child.pid, 2)
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids} == {min(19, usual + LOW)}
        make_normal(child.pid)
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids} == {usual}
    finally:
        child.kill()


def _family(pid: int, size: int) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        if len(found) == size - 1:
            return [pid, *map(int, found)]
        time.sleep(0.02)
    pytest.fail("the child did not start its own child")

"""The embedded stack as users run it: up, faults, down, and nothing left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.settings import ROOT, Settings
from contracts.tensors import MODEL_NAMES
from stack import control
from stack.addresses import free_address, free_port
from stack.declaration import declare_topics
from stack.environment import child_environment, overridden
from stack.status import Status
from stack.triton import SHARED_MEMORY, TritonServer

pytestmark = pytest.mark.stack


def free_settings(var: Path, **stack: Any) -> Settings:
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address(), "partitions": 2},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        "gateway": {"port": free_port()},
        "stack": {
            "var": var,
            "controller_port": free_port(),
            "heap": "256m",
            "catalog_workers": 0,
            "gateway": False,
            "prometheus": False,
            **stack,
        },
    }
    return overridden(Settings(), groups)


STACK_SECONDS: list[float] = []
"""What the whole stack took to start on this machine."""
KAFKA_ONLY = {"triton": False, "workers": 0}


def start(settings: Settings) -> Status:
    return control.start(settings, patience_seconds=120, progress=lambda _: None)


def vitrine(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    environment = child_environment(settings, COLUMNS="200")
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180)


def until(condition: Callable[[], bool], patience_seconds: float) -> float:
    """Seconds until the condition holds; fails past the patience."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < patience_seconds, "the condition did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - begun


def process(settings: Settings, name: str) -> Any:
    return next(process for process in control.status(settings).processes if process.name == name)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def everything_of(status: Status) -> list[int]:
    assert status.supervisor_pid is not None
    return [status.supervisor_pid, *(child.pid for child in psutil.Process(status.supervisor_pid).children(recursive=True))]


def regions(settings: Settings) -> list[Path]:
    prefix = TritonServer(settings).region
    return sorted(SHARED_MEMORY.glob(f"{prefix}_*"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = free_settings(tmp_path_factory.mktemp("stack"), workers=1)
    begun = time.monotonic()
    start(settings)
    STACK_SECONDS.append(time.monotonic() - begun)
    yield settings
    control.stop(settings)


def test_status_lists_every_process_with_its_pid_and_the_addresses(running: Settings) -> None:
    answered = vitrine(running, "status", "--json")
    assert answered.returncode == 0, answered.stderr
    status = json.loads(answered.stdout)
    assert status["up"] is True
    assert [process["name"] for process in status["processes"]] == ["kafka", "triton", "worker-0"]
    for entry in status["processes"]:
        assert entry["healthy"] is True
        assert psutil.pid_exists(entry["pid"])
    assert status["addresses"]["broker"] == running.kafka.bootstrap_servers
    assert status["addresses"]["triton"] == running.triton.grpc_address


def test_a_second_up_says_that_it_is_up_already_and_starts_nothing(running: Settings) -> None:
    before = control.status(running)
    answered = vitrine(running, "up")
    assert answered.returncode == 0
    assert "up already" in answered.stdout
    assert control.status(running).supervisor_pid == before.supervisor_pid


def test_a_second_supervisor_in_the_same_folder_refuses(running: Settings) -> None:
    command = [sys.executable, "-m", "stack"]
    answered = subprocess.run(
        command, cwd=ROOT, env=child_environment(running), capture_output=True, text=True, check=False, timeout=60
    )
    assert answered.returncode == 2
    assert "VITRINE_STACK__VAR" in answered.stderr


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_stub_that_was_killed_is_noticed_and_replaced_within_ten_seconds(running: Settings, model: str) -> None:
    before = process(running, "triton")
    (stub,) = (child for child in psutil.Process(before.pid).children() if f"/{model}/" in " ".join(child.cmdline()))
    stub.send_signal(signal.SIGKILL)
    noticed = until(lambda: not process(running, "triton").healthy, 5)
    served = until(lambda: process(running, "triton").healthy, 20)
    after = process(running, "triton")
    assert after.pid != before.pid
    assert after.restarts == before.restarts + 1
    assert is_gone(before.pid)
    assert noticed + served < max(10, *STACK_SECONDS)  # ten seconds, but on a machine too busy to start anything in that time
    assert len(regions(running)) == len(psutil.Process(after.pid).children())  # only those of the new start


def test_a_server_that_hangs_is_replaced(running: Settings) -> None:
    before = process(running, "triton")
    os.killpg(before.pid, signal.SIGSTOP)
    until(lambda: process(running, "triton").pid not in (before.pid, None), 10)
    until(lambda: process(running, "triton").healthy, 30)
    assert is_gone(before.pid)


def test_a_worker_that_was_killed_is_back_and_healthy(running: Settings) -> None:
    before = process(running, "worker-0")
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: process(running, "worker-0").restarts == before.restarts + 1, 10)
    until(lambda: process(running, "worker-0").healthy, 30)


def test_down_leaves_no_process_no_shared_memory_and_no_port(running: Settings) -> None:
    settings = running
    pids = everything_of(control.status(settings))
    assert len(pids) >= 6  # supervisor, broker, Triton and its two stubs, worker
    assert regions(settings)
    answered = vitrine(settings, "down")
    assert answered.returncode == 0, answered.stderr
    assert all(is_gone(pid) for pid in pids)
    assert regions(settings) == []
    assert not control.status(settings).up
    for address in (settings.kafka.bootstrap_servers, settings.triton.grpc_address):
        host, _, port = address.rpartition(":")
        with closing(socket.socket()) as probe:
            assert probe.connect_ex((host, int(port))) != 0
    assert "was not up" in vitrine(settings, "down").stdout


def test_killing_the_supervisor_takes_everything_along_and_the_next_start_cleans_up(tmp_path: Path) -> None:
    settings = free_settings(tmp_path, workers=0)
    started = start(settings)
    pids = everything_of(started)
    assert started.supervisor_pid is not None
    os.kill(started.supervisor_pid, signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in pids), 10)
    assert not control.status(settings).up
    left = regions(settings)
    try:
        again = start(settings)
        assert again.is_healthy
        assert not set(left) & set(regions(settings))
    finally:
        control.stop(settings)
    assert regions(settings) == []


def test_a_port_that_somebody_else_has_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = free_settings(tmp_path, **KAFKA_ONLY)
    with closing(socket.socket()) as foreign:
        foreign.bind(("127.0.0.1", settings.stack.controller_port))
        foreign.listen()
        with pytest.raises(control.StackFailed, match=r"VITRINE_STACK__CONTROLLER_PORT.*listens there"):
            start(settings)
    assert not control.status(settings).up


def test_two_stacks_live_side_by_side_and_data_outlives_a_restart(tmp_path: Path) -> None:
    one = free_settings(tmp_path / "one", **KAFKA_ONLY)
    two = free_settings(tmp_path / "two", **KAFKA_ONLY)
    try:
        assert start(one).is_healthy
        assert start(two).is_healthy
        control.stop(one)
        assert control.status(two).is_healthy
        assert start(one).is_healthy
    finally:
        control.stop(one)
        control.stop(two)


def test_a_cluster_of_ones_own_is_used_and_not_started(broker: str, tmp_path: Path) -> None:
    settings = free_settings(tmp_path, kafka=False, triton=False, workers=0, prometheus=True)
    settings = overridden(settings, {"kafka": {"bootstrap_servers": broker, "topic_prefix": "own."}})
    try:
        status = start(settings)
        assert [process.name for process in status.processes] == ["prometheus"]
        assert status.addresses["broker"] == broker
        assert declare_topics(settings.kafka) == []  # the start declared them
    finally:
        control.stop(settings)


def test_a_cluster_that_does_not_answer_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = free_settings(tmp_path, kafka=False, triton=False, workers=0)
    with pytest.raises(control.StackFailed, match="VITRINE_KAFKA__BOOTSTRAP_SERVERS"):
        start(settings)

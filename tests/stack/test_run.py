"""`vitrine run` and `vitrine shop` as users start them."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from consumers.pages import PageSubscriber
from contracts.settings import ROOT, Settings
from stack import control
from stack.addresses import free_address, free_port
from stack.environment import child_environment, overridden

pytestmark = pytest.mark.stack


def vitrine(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    environment = child_environment(settings, COLUMNS="140")
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_run_shows_a_shopper_whose_page_follows_each_click(demo_stack: Settings) -> None:
    answered = vitrine(demo_stack, "run", "--seconds", "6", "--rate", "30")
    assert answered.returncode == 0, answered.stderr
    screen = answered.stdout
    assert "1596 products are recommendable" in screen
    for expected in ("shopper shopper-7-", "event to page", "ranking", "page ", f"http://127.0.0.1:{demo_stack.gateway.port}"):
        assert expected in screen
    assert "waiting for the first shopper" not in screen[-4000:]
    assert control.status(demo_stack).is_healthy  # it was up before, so it stays up


def test_shoppers_publish_what_they_were_asked_to_and_get_pages(demo_stack: Settings) -> None:
    with PageSubscriber(demo_stack.kafka, timeout_seconds=10) as pages:
        answered = vitrine(demo_stack, "shop", "--events", "40", "--rate", "40", "--count", "4", "--seed", "11")
        assert answered.returncode == 0, answered.stderr
        assert "40 events" in answered.stdout
        folded: dict[tuple[str, str], int] = {}  # by visitor and session: a sequence counts one session's events
        for page in pages:
            if page.visitor_id.startswith("shopper-11-"):
                folded[page.visitor_id, page.session_id] = page.sequence
            if sum(folded.values()) >= 40:
                break
    assert sum(folded.values()) == 40
    assert {visitor for visitor, _ in folded} <= {f"shopper-11-{number}" for number in range(4)}


def test_ctrl_c_on_the_way_up_leaves_nothing(tmp_path: Path) -> None:
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address()},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        "gateway": {"port": free_port()},
        "stack": {"var": tmp_path, "controller_port": free_port()},
    }
    settings = overridden(Settings(), groups)
    command = [sys.executable, "-m", "cli", "run"]
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job hands it on as ignored
    with (tmp_path / "run.log").open("wb") as output:
        run = subprocess.Popen(command, cwd=ROOT, env=child_environment(settings), stdout=output, stderr=output)
    signal.signal(signal.SIGINT, ignored)
    deadline = time.monotonic() + 60
    while not any(process.healthy for process in control.status(settings).processes):
        assert time.monotonic() < deadline, (tmp_path / "run.log").read_text()
        time.sleep(0.05)
    pids = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 0, (tmp_path / "run.log").read_text()
    assert not control.status(settings).up
    for pid in pids:
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

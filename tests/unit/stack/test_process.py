import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from contracts.settings import ROOT
from stack.process import Child

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
WITH_CHILD = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"


def child(code: str, folder: Path) -> Child:
    return Child("child", [sys.executable, "-c", code], dict(os.environ), folder / "child.log", folder)


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_stopping_asks_first(tmp_path: Path) -> None:
    process = child(SLEEP, tmp_path)
    process.start()
    process.stop(10)
    assert process.exit_status == -signal.SIGTERM


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = child(STUBBORN, tmp_path)
    process.start()
    assert until(lambda: "deaf" in process.log_tail())
    process.stop(0.1)
    assert process.exit_status == -signal.SIGKILL


def test_the_children_of_a_process_end_with_it(tmp_path: Path) -> None:
    process = child(WITH_CHILD, tmp_path)
    process.start()
    assert until(lambda: process.log_tail().strip().isdecimal())
    grandchild = int(process.log_tail())
    process.kill()
    assert until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_a_process_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from stack.process import Child
c = Child("c", [sys.executable, "-c", {SLEEP!r}], dict(os.environ), Path({str(tmp_path)!r}) / "c.log", Path("/"))
c.start()
print(c.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    orphan = int(parent.stdout)
    assert until(lambda: not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE)


def test_a_signal_to_a_process_that_is_over_reaches_nobody(tmp_path: Path) -> None:
    process = child("pass", tmp_path)
    process.start()
    process.stop(10)
    process.signal(signal.SIGKILL)
    assert not process.is_alive


def test_a_log_that_grew_large_is_moved_aside_at_the_next_start(tmp_path: Path) -> None:
    log_file = tmp_path / "child.log"
    log_file.write_bytes(b"x" * 20_000_001)
    process = child("print('new')", tmp_path)
    process.start()
    assert until(lambda: not process.is_alive)
    assert process.log_tail() == "new"
    assert (tmp_path / "child.log.1").stat().st_size == 20_000_001


def test_a_program_that_is_not_there_ends_at_once_and_the_log_names_it(tmp_path: Path) -> None:
    process = Child("child", ["no-such-program"], dict(os.environ), tmp_path / "child.log", tmp_path)
    process.start()
    assert until(lambda: not process.is_alive)
    assert process.exit_status == 1
    assert process.log_tail() == "no-such-program: No such file or directory"


def test_no_fork_handler_runs_when_a_process_starts_since_some_wait_for_threads_for_ever(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from stack.process import Child
os.register_at_fork(before=lambda: print("a handler ran", flush=True))
c = Child("c", [sys.executable, "-c", "pass"], dict(os.environ), Path({str(tmp_path)!r}) / "c.log", Path("/"))
c.start()
while c.is_alive:
    time.sleep(0.01)
print(c.exit_status)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "0\n", done.stderr


def test_a_process_can_have_less_of_the_processor(tmp_path: Path) -> None:
    process = Child("child", [sys.executable, "-c", SLEEP], dict(os.environ), tmp_path / "child.log", tmp_path, nice=7)
    process.start()
    assert process.pid is not None
    child_process = psutil.Process(process.pid)
    assert until(lambda: child_process.nice() == psutil.Process().nice() + 7)
    process.stop(1)

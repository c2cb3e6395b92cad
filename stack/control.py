"""Starting and stopping the supervisor from outside: what `vitrine up` and `vitrine down` do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from contracts.errors import VitrineError
from contracts.settings import ROOT, Settings, resolve
from stack.environment import child_environment
from stack.status import Status, read_status, status_file, supervisor_of

_LOG_LINES = 20
_GIVE_UP_RESTARTS = 3  # a process that ended this often before it was ever well will not get well by waiting


class StackFailed(VitrineError):
    """The stack did not come up."""


def status(settings: Settings) -> Status:
    """What runs for these settings."""
    return read_status(status_file(settings.stack))


def start(settings: Settings, *, patience_seconds: float, progress: Callable[[Status], None]) -> Status:
    """Start the supervisor in a session of its own and wait until everything is healthy.

    Args:
        settings: of the whole stack.
        patience_seconds: longest wait.
        progress: told the newest status a few times a second.

    Raises:
        StackFailed: it ended, or something did not get healthy; what had started is stopped again.
    """
    log_file = resolve(settings.stack.var) / "log" / "supervisor.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stack"],
            env=child_environment(settings),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _wait(settings, supervisor, time.monotonic() + patience_seconds, progress)
    except BaseException:  # also Ctrl-C: what was started on the way ends too
        supervisor.terminate()
        supervisor.wait()
        raise


def _wait(
    settings: Settings, supervisor: subprocess.Popen[bytes], deadline: float, progress: Callable[[Status], None]
) -> Status:
    while True:
        now = status(settings)
        if now.supervisor_pid == supervisor.pid:
            progress(now)
            if now.is_healthy:
                return now
        failed = _failed(supervisor, now, is_late=time.monotonic() > deadline)
        if failed:
            logs = resolve(settings.stack.var) / "log"
            message = "\n".join(f"{name} did not start; {_end_of(logs / f'{name}.log')}" for name in failed)
            raise StackFailed(message)
        time.sleep(0.1)


def _failed(supervisor: subprocess.Popen[bytes], now: Status, *, is_late: bool) -> list[str]:
    if supervisor.poll() is not None:
        return ["supervisor"]
    unhealthy = [process for process in now.processes if not process.healthy]
    hopeless = [process.name for process in unhealthy if process.restarts >= _GIVE_UP_RESTARTS]
    if is_late and not hopeless:
        return [process.name for process in unhealthy]
    return hopeless


def _end_of(log_file: Path) -> str:
    if not log_file.exists():
        return "it wrote no log"
    lines = log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join([f"the end of {log_file}:", *lines])


def stop(settings: Settings, patience_seconds: float = 60.0) -> bool:
    """Stop the stack of these settings.

    Returns:
        Whether one was up.

    Raises:
        StackFailed: the supervisor did not end in time.
    """
    before = status(settings)
    supervisor = supervisor_of(before)
    if supervisor is None:
        return False
    with suppress(psutil.NoSuchProcess):
        supervisor.terminate()
    deadline = time.monotonic() + patience_seconds
    while supervisor_of(before) is not None:  # an ended one that nobody collected counts as gone
        if time.monotonic() > deadline:
            message = f"the supervisor (process {supervisor.pid}) did not end within {patience_seconds:.0f} s"
            raise StackFailed(message)
        time.sleep(0.05)
    return True

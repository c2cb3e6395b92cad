"""Starting and stopping the supervisor from outside: what `vitrine up` and `vitrine down` do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from contracts.errors import VitrineError
from contracts.settings import ROOT, Settings, resolve
from stack.environment import child_environment
from stack.status import Status, read_status, status_file, supervisor_of

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
    deadline = time.monotonic() + patience_seconds
    while True:
        now = status(settings)
        if now.supervisor_pid == supervisor.pid:
            progress(now)
            if now.is_healthy:
                return now
        failure = _failure(supervisor, now, time.monotonic() > deadline)
        if failure is not None:
            stop(settings)
            tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-20:])
            message = f"{failure}; the end of {log_file}:\n{tail}"
            raise StackFailed(message)
        time.sleep(0.1)


def _failure(supervisor: subprocess.Popen[bytes], now: Status, is_late: bool) -> str | None:
    if supervisor.poll() is not None:
        return "the stack did not start"
    failing = [process.name for process in now.processes if not process.healthy]
    hopeless = [process.name for process in now.processes if not process.healthy and process.restarts >= _GIVE_UP_RESTARTS]
    if hopeless or is_late:
        logs = ", ".join(f"var/log/{name}.log" for name in hopeless or failing)
        return f"{', '.join(hopeless or failing)} did not get healthy (see {logs})"
    return None


def stop(settings: Settings, patience_seconds: float = 60.0) -> bool:
    """Stop the stack of these settings.

    Returns:
        Whether one was up.

    Raises:
        StackFailed: the supervisor did not end in time.
    """
    supervisor = supervisor_of(status(settings))
    if supervisor is None:
        return False
    try:
        supervisor.terminate()
        supervisor.wait(patience_seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired as error:
        message = f"the supervisor (process {supervisor.pid}) did not end within {patience_seconds:.0f} s"
        raise StackFailed(message) from error
    return True

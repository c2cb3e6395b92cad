"""One child process: in a group of its own, logged to a file, gone when its parent is gone."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_LOG_LIMIT_BYTES = 20_000_000
_BOUND = Path(__file__).with_name("bound.py")


class Child:
    """A process that is started, watched and stopped as a group.

    Start it from the main thread: the kernel binds its life to the thread that forks.

    Args:
        name: for status and log file.
        command: program and arguments.
        environment: the whole environment of the child.
        log_file: standard output and error are appended here; past 20 MB it is moved to `<name>.1` at the next start.
        cwd: working directory.
        nice: added to the niceness of this process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        cwd: Path,
        nice: int = 0,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = list(command)
        self._environment = dict(environment)
        self._cwd = cwd
        self._nice = nice
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def start(self) -> None:
        """Fork and exec, by way of `stack/bound.py`, which ties the child to this process."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_file.replace(self.log_file.with_suffix(self.log_file.suffix + ".1"))
        with self.log_file.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()), str(self._nice), *self._command],
                env=self._environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._is_over = False
        log.info("process started", extra={"process_name": self.name, "process_id": self._popen.pid})

    @property
    def pid(self) -> int | None:
        """Process id of the newest start, None before the first."""
        return self._popen.pid if self._popen else None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Exit status (negative: the signal) once it has ended."""
        return self._popen.poll() if self._popen else None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; an empty group is no error."""
        if self._popen is None or self._is_over:  # the number may be another's by now
            return
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return

    def terminate(self) -> None:
        """Ask the group to end."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the group at once and collect its exit status."""
        self.signal(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()
            self._is_over = True

    def stop(self, patience_seconds: float) -> None:
        """SIGTERM, wait, then SIGKILL for what is left of the group; without patience SIGKILL at once."""
        if patience_seconds > 0:
            self.terminate()
        deadline = time.monotonic() + patience_seconds
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.is_alive and patience_seconds > 0:
            log.warning("process did not end when asked and was killed", extra={"process_name": self.name})
        self.kill()

    def log_tail(self, lines: int = 15) -> str:
        """The newest lines of its log, for error messages."""
        if not self.log_file.exists():
            return ""
        text = self.log_file.read_bytes()[-16_384:].decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

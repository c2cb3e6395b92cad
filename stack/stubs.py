"""The Python stubs of a Triton server: processes of their own, one a model, whose death the server does not tell.

A dead stub of the page ranker is found by the canary. One of the item encoder looks like an encoder that is busy with a long
batch, which the canary has to be patient with: only its process tells.
"""

from __future__ import annotations

import psutil

_STUB = "triton_python_backend_stub"


class Stubs:
    """Whether all stubs of the newest server live.

    Args:
        expected: how many a server has.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._server: int | None = None
        self._known: list[psutil.Process] = []

    def are_alive(self, server: int | None) -> bool:
        """False as long as there are fewer than expected, so also while the server starts.

        Args:
            server: process id; None if there is none.
        """
        if server is None:
            return False
        if server != self._server or not all(map(_lives, self._known)) or len(self._known) < self._expected:
            self._server, self._known = server, _found(server)
        return len(self._known) >= self._expected


def _found(server: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(server).children() if _lives(child) and _is_stub(child)]
    except psutil.NoSuchProcess:
        return []


def _is_stub(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(_STUB)
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    """The server does not collect the exit status of a stub, so that a dead one stays as a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""A folder that one process holds: the kernel gives it back when the process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import ConfigurationError


@contextmanager
def held(folder: Path, otherwise: str) -> Iterator[None]:
    """Hold a folder by a lock in it, without waiting (flock(2)).

    Args:
        folder: created if missing.
        otherwise: what to tell when another process holds it.

    Raises:
        ConfigurationError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(otherwise) from error
        yield

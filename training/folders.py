"""Folders of trainings: one training at a time in each."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import ConfigurationError

_LOCK = "lock"


@contextmanager
def alone_in(folder: Path, *, writes: bool = True) -> Iterator[None]:
    """Keep a folder of checkpoints to this training; the kernel gives it back when the process ends, however it ends.

    Args:
        folder: created if missing.
        writes: false for all processes of a distributed training but the one that writes; they need nothing.

    Raises:
        ConfigurationError: another training is at work there, whose checkpoints this one would overwrite.
    """
    if not writes:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"{folder}: another training is at work there; wait for it, or name another folder"
            raise ConfigurationError(message) from error
        yield

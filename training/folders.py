"""Folders of trainings: one training at a time in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.locks import held


@contextmanager
def alone_in(folder: Path, *, writes: bool = True) -> Iterator[None]:
    """Keep a folder of checkpoints to this training.

    Args:
        folder: created if missing.
        writes: false for all processes of a distributed training but the one that writes; they need nothing.

    Raises:
        ConfigurationError: another training is at work there, whose checkpoints this one would overwrite.
    """
    if not writes:
        yield
        return
    with held(folder, f"{folder}: another training is at work there; wait for it, or name another folder"):
        yield

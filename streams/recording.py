"""A bounded sample of real requests, kept to warm up the next model version.

Numbers of fixed size only: touches as item keys, exclusions, page and shop. No visitor, user or session id, no time, and
nothing of visitors who withheld consent. The newest replace the oldest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contracts.errors import ConfigurationError, TensorMismatch
from contracts.tensors import MAX_BATCH, PAGE_RANKER_INPUTS
from streams.batch import Visit
from streams.ports import Answer, Tensors
from streams.ranking import Encoder, request

_LOG = logging.getLogger(__name__)
FILE = "requests.npz"
KEPT = 256
EVERY_SECONDS = 0.25
SAVE_SECONDS = 10.0


class Recorder:
    """Keeps the newest `KEPT` requests, one each `EVERY_SECONDS` at most, and writes them to a file.

    Args:
        folder: the worker's own.
        monotonic: seconds.
        on_change: told how many are kept.
    """

    def __init__(
        self, folder: Path, monotonic: Callable[[], float], on_change: Callable[[float], object] = lambda _: None
    ) -> None:
        self._file = folder / FILE
        self._monotonic = monotonic
        self._on_change = on_change
        self._kept: deque[Tensors] = deque(maxlen=KEPT)
        self._next = float("-inf")
        self._turn = 0
        self._is_saved = True

    def offer(self, visits: Sequence[Visit], _answer: Answer) -> None:
        """Keep one of the visits if it is time; whoever withheld consent is not kept."""
        now = self._monotonic()
        if now < self._next:
            return
        self._turn += 1
        visit = visits[self._turn % len(visits)]
        if not visit.is_stored:
            return
        self._next = now + EVERY_SECONDS
        # As a session to be replayed: another version cannot read this one's state.
        self._kept.append(request([(visit.trigger.tenant_id, visit.state)], Encoder()))
        self._is_saved = False
        self._on_change(len(self._kept))

    async def keep(self) -> None:
        """Write the file from time to time until cancelled."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            if not self._is_saved:
                self._is_saved = True
                try:
                    await asyncio.to_thread(save_requests, self._file, tuple(self._kept))
                except OSError as error:
                    _LOG.warning("requests for the warm-up cannot be written", extra={"error": str(error)})


def save_requests(file: Path, requests: Sequence[Tensors]) -> None:
    """Write requests of one row each, padded to the longest, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for spec in PAGE_RANKER_INPUTS:
        parts = [request[spec.name] for request in requests]
        width = max(part.shape[1] for part in parts)
        arrays[spec.name] = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
    fresh = file.with_suffix(f".{os.getpid()}")
    with fresh.open("wb") as content:
        np.savez_compressed(content, allow_pickle=False, **arrays)
    fresh.replace(file)


def read_requests(file: Path) -> list[Tensors]:
    """Requests of one row each, oldest first.

    Raises:
        ConfigurationError: the file is there and is not what `save_requests` writes.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            tensors = {spec.name: arrays[spec.name] for spec in PAGE_RANKER_INPUTS}
        for spec in PAGE_RANKER_INPUTS:
            spec.check(tensors[spec.name])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, TensorMismatch) as error:
        message = f"{file} holds no recorded requests: {error}"
        raise ConfigurationError(message) from error
    rows = len(tensors["context"])
    return [{name: array[row : row + 1] for name, array in tensors.items()} for row in range(rows)]


def batched(requests: Sequence[Tensors], size: int) -> list[Tensors]:
    """The requests in calls of at most `size` rows; those of one file have one width.

    Raises:
        ValueError: `size` is not between 1 and `MAX_BATCH`.
    """
    if not 1 <= size <= MAX_BATCH:
        message = f"size: got {size}, expected 1 to {MAX_BATCH}"
        raise ValueError(message)
    parts = [requests[start : start + size] for start in range(0, len(requests), size)]
    return [{name: np.concatenate([row[name] for row in part]) for name in part[0]} for part in parts]

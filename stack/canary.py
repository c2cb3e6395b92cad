"""Canary inference: questions with known answers, since Triton 2.51 calls itself ready when its Python stub is dead."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import ConfigurationError, DependencyError, RankerTimeout, TensorMismatch
from contracts.keys import tenant_key
from contracts.tensors import (
    ITEM_ENCODER_INPUTS,
    ITEM_ENCODER_OUTPUTS,
    PAGE_RANKER_INPUTS,
    PAGE_RANKER_OUTPUTS,
    RING,
    Context,
    Info,
)
from streams.inference import InferenceClient

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_TEXT = "lamp"
_NOBODY = "vitrine-canary"  # a tenant without items: the right answer is an empty page
_LONGEST_SECONDS = 10.0  # after which a question to the ranker is given up


@dataclass(frozen=True)
class KnownAnswer:
    """What a healthy server must answer, from the manifest of the exported model.

    `has_text` tells whether the model reads texts: one that serves by behaviour alone answers a text with zeros.
    """

    version: int
    dim: int
    state_width: int
    image_size: int
    has_text: bool = True

    @classmethod
    def read(cls, folder: Path) -> KnownAnswer:
        """Read `manifest.json`.

        Raises:
            ConfigurationError: the file is missing or lacks a field.
        """
        file = folder / "manifest.json"
        try:
            manifest = json.loads(file.read_text())
            return cls(
                version=int(manifest["version"]),
                dim=int(manifest["dim"]),
                state_width=int(manifest["state_width"]),
                image_size=int(manifest["image_size"]),
                has_text="text" in manifest.get("modalities", ("text",)),
            )
        except (OSError, ValueError, KeyError) as error:
            message = f"{file} is no manifest of an exported model: {error!r}"
            raise ConfigurationError(message) from error


class Canary:
    """Asks both models.

    The page ranker has to answer something within `deadline_s`: the question of this look, or one of a look before. So a
    ranker that is only starved of the processor is well as long as it gets on, and one that hangs is found as fast as if
    late answers did not count. The item encoder takes long batches one after the other, so an answer of it that is merely
    late is no sign of death until `encoder_deadline_s` has passed.
    """

    def __init__(self, client: InferenceClient, known: KnownAnswer, deadline_s: float, encoder_deadline_s: float) -> None:
        self._client = client
        self._known = known
        self._deadline = deadline_s
        self._encoder_deadline = encoder_deadline_s
        self._late_since: float | None = None
        self._open: set[asyncio.Task[bool]] = set()

    async def is_well(self) -> bool:
        """Whether both models answer what they should."""
        return await self._ranker_is_right() and await _no_error(self._encoder_is_right())

    async def _ranker_is_right(self) -> bool:
        self._open.add(asyncio.create_task(_no_error(self._ask_ranker())))
        answered, self._open = await asyncio.wait(self._open, timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED)
        return bool(answered) and all(task.result() for task in answered)

    async def _ask_ranker(self) -> bool:
        context = np.zeros((1, len(Context)), np.int64)
        context[0, Context.TENANT_KEY] = tenant_key(_NOBODY)
        inputs: dict[str, NDArray[Any]] = {
            "state": np.zeros((1, 0), np.float32),
            "ring": np.zeros((1, RING), np.int64),
            "events": np.zeros((1, 1), np.int64),
            "kinds": np.zeros((1, 1), np.int32),
            "exclude": np.zeros((1, 1), np.int64),
            "context": context,
        }
        patience = max(self._deadline, _LONGEST_SECONDS)
        answer = await self._client.infer("page_ranker", inputs, PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS, deadline_s=patience)
        info, state = answer["info"], answer["state"]
        return bool(
            info[Info.MODEL_VERSION] == self._known.version
            and state.shape == (1, self._known.state_width)
            and np.isfinite(state).all()
            and not answer["items"].any()
        )

    async def _encoder_is_right(self) -> bool:
        size = self._known.image_size
        inputs: dict[str, NDArray[Any]] = {
            "text": np.frombuffer(_TEXT.encode(), np.uint8)[None],
            "image": np.zeros((1, size, size, 3), np.uint8),
            "has_image": np.zeros(1, np.uint8),
            "keys": np.zeros(1, np.int64),
        }
        try:
            answer = await self._client.infer(
                "item_encoder", inputs, ITEM_ENCODER_INPUTS, ITEM_ENCODER_OUTPUTS, deadline_s=self._deadline
            )
        except RankerTimeout:
            now = time.monotonic()
            self._late_since = self._late_since or now
            return now - self._late_since < self._encoder_deadline
        self._late_since = None
        fused = answer["fused"]
        return bool(fused.shape == (1, self._known.dim) and abs(float(np.linalg.norm(fused)) - self._known.has_text) < 1e-3)


async def _no_error(question: Awaitable[bool]) -> bool:
    try:
        return await question
    except (DependencyError, TensorMismatch) as error:
        log.debug("canary failed", extra={"reason": str(error)})
        return False

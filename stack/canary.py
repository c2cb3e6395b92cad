"""Canary inference: questions with known answers, since Triton 2.51 calls itself ready when its Python stub is dead."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import ConfigurationError, DependencyError, TensorMismatch
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


class _Question:
    """One question at a time, which stays open when a look does not get its answer.

    Args:
        ask: puts the question; true for the right answer.
    """

    def __init__(self, ask: Callable[[], Awaitable[bool]]) -> None:
        self._ask = ask
        self._open: asyncio.Task[bool] | None = None

    async def look(self, seconds: float) -> bool | None:
        """Whether the answer is right; None if there is none within `seconds`."""
        if self._open is None:
            self._open = asyncio.create_task(_no_error(self._ask()))
        answered, _ = await asyncio.wait((self._open,), timeout=seconds)
        if not answered:
            return None
        right, self._open = self._open.result(), None
        return right


class Canary:
    """Asks both models.

    The page ranker has to answer within `deadline_s` of a look, be it the question of the look before: a ranker that is only
    starved of the processor is well as long as it gets on, and one that hangs is found as fast as if late answers did not
    count. The item encoder takes long batches one after the other, so an answer of it that is merely late is no sign of
    death until `encoder_deadline_s` has passed.
    """

    def __init__(self, client: InferenceClient, known: KnownAnswer, deadline_s: float, encoder_deadline_s: float) -> None:
        self._client = client
        self._known = known
        self._deadline = deadline_s
        self._encoder_deadline = encoder_deadline_s
        self._ranker, self._encoder = _Question(self._ask_ranker), _Question(self._ask_encoder)
        self._encoder_was_right = True
        self.is_encoder_late = False
        """Whether the last look saw no answer of the item encoder."""

    async def is_well(self) -> bool:
        """Whether both models answer what they should."""
        return await self._ranker.look(self._deadline) is True and await self._encoder_is_right()

    async def _encoder_is_right(self) -> bool:
        right = await self._encoder.look(self._deadline)
        self.is_encoder_late = right is None
        if right is not None:
            self._encoder_was_right = right
        return self._encoder_was_right

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

    async def _ask_encoder(self) -> bool:
        size = self._known.image_size
        inputs: dict[str, NDArray[Any]] = {
            "text": np.frombuffer(_TEXT.encode(), np.uint8)[None],
            "image": np.zeros((1, size, size, 3), np.uint8),
            "has_image": np.zeros(1, np.uint8),
            "keys": np.zeros(1, np.int64),
        }
        answer = await self._client.infer(
            "item_encoder", inputs, ITEM_ENCODER_INPUTS, ITEM_ENCODER_OUTPUTS, deadline_s=self._encoder_deadline
        )
        fused = answer["fused"]
        return bool(fused.shape == (1, self._known.dim) and abs(float(np.linalg.norm(fused)) - self._known.has_text) < 1e-3)


async def _no_error(question: Awaitable[bool]) -> bool:
    try:
        return await question
    except (DependencyError, TensorMismatch) as error:
        log.debug("canary failed", extra={"reason": str(error)})
        return False

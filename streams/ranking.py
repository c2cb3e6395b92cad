"""Session states to tensors and answers back to states; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.keys import category_key, tenant_key
from contracts.tensors import MAX_EXCLUSIONS, RING, Context, Effort, PageCode
from streams.ports import Tensors
from streams.sessions import SessionState, Touch, excluded

_PAGE_CODES = {code.name.lower(): int(code) for code in PageCode}


@dataclass(frozen=True)
class Encoder:
    """Which encoder the worker believes is serving: version, and width S of its state; 0 before the first answer."""

    version: int = 0
    width: int = 0


def _padded(rows: Sequence[Sequence[int]], dtype: type[np.generic]) -> NDArray[np.generic]:
    """Rows of unequal length as one array, 0 after the end; at least one column."""
    width = max(1, max(map(len, rows), default=1))
    table = np.zeros((len(rows), width), dtype)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table


def is_current(state: SessionState, encoder: Encoder) -> bool:
    """Whether the state's encoder part was made by the serving encoder; else it is rebuilt from the recent touches."""
    return state.encoder_version == encoder.version and len(state.encoder) == 4 * encoder.width and encoder.width > 0


def request(rows: Sequence[tuple[str, SessionState]], encoder: Encoder, effort: Effort = Effort.FULL) -> Tensors:
    """Tensors of one call for (tenant_id, state) rows, as `contracts.tensors.PAGE_RANKER_INPUTS` declares them.

    A state made by another encoder, or by none, goes as zeros with its recent touches as new events: replaying them
    gives the same state as having streamed them.
    """
    batch = len(rows)
    states = np.zeros((batch, max(encoder.width, 1)), np.float32)
    rings = np.zeros((batch, RING), np.int64)
    touches: list[tuple[Touch, ...]] = []
    contexts = np.zeros((batch, len(Context)), np.int64)
    for index, (tenant_id, state) in enumerate(rows):
        if is_current(state, encoder):
            states[index] = np.frombuffer(state.encoder, np.float32)
            ring = state.ring
            rings[index, : len(ring)] = ring
            touches.append(state.pending)
        else:
            touches.append(state.recent + state.pending)
        category = category_key(tenant_id, state.category) if state.page_type == "category" else 0
        contexts[index] = (category, _PAGE_CODES[state.page_type], state.anchor, tenant_key(tenant_id), effort)
    return {
        "state": states,
        "ring": rings,
        "events": _padded([[key for key, _ in row] for row in touches], np.int64),
        "kinds": _padded([[kind for _, kind in row] for row in touches], np.int32),
        "exclude": _padded([excluded(state)[-MAX_EXCLUSIONS:] for _, state in rows], np.int64),
        "context": contexts,
    }

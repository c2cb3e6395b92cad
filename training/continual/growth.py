"""Items that training has never seen: the model's table grows, and a new item begins where its neighbours in sessions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from contracts.keys import item_key
from training.sessions.data import Ints
from training.sessions.encoder import EncoderRecipe, SessionModel

REACH = 2
"""Clicks on both sides that say where a new item belongs."""


@dataclass
class ItemRows:
    """Rows of a shop's items by item key; an item that comes new takes the next row.

    Attributes:
        tenant: the shop.
        keys: row of each `contracts.keys.item_key`.
    """

    tenant: str = "default"
    keys: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, session: Sequence[str]) -> Ints:
        """Rows of a session's items; new ones are taken in."""
        return np.array([self.keys.setdefault(item_key(self.tenant, item), len(self.keys)) for item in session], dtype=np.int64)

    def find(self, items: Sequence[str]) -> Ints:
        """Rows of items, -1 for those that are not known."""
        return np.array([self.keys.get(item_key(self.tenant, item), -1) for item in items], dtype=np.int64)


@torch.no_grad()
def grown(model: SessionModel, items: int, sessions: Sequence[Ints], recipe: EncoderRecipe) -> SessionModel:
    """A copy of the model with rows for more items.

    Args:
        model: knows rows 0 … k-1.
        items: n ≥ k rows that the copy has.
        sessions: in which the new items occur; each begins at the mean of the known items up to two clicks away, as long as
            a known vector is on average, or at a random place if it has no such neighbour.
        recipe: of the model.

    Raises:
        ValueError: if `items` is below what the model knows.
    """
    known = len(model.vectors)
    if items < known:
        message = f"items is {items}, the model knows {known}: a table only grows"
        raise ValueError(message)
    result = SessionModel(items, recipe)
    result.encoder.load_state_dict(model.encoder.state_dict())
    unit = model.unit_vectors().numpy()
    near = np.random.default_rng(items).normal(0.0, 0.01, (items - known, unit.shape[1]))
    for session in sessions:
        for place in np.flatnonzero(session >= known):
            around = session[max(0, place - REACH) : place + REACH + 1]
            near[session[place] - known] += unit[around[around < known]].sum(axis=0)
    near /= np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-9)
    length = float(model.vectors.norm(dim=1).mean())
    result.vectors.copy_(torch.cat((model.vectors, torch.from_numpy((near * length).astype(np.float32)))))
    return result.eval()

"""What the catalogue agent needs of the world: an encoder of products and a source of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streams.ports import Tensors


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of B items, width D.

    Attributes:
        fused: [B, D] L2 norm 1.
        text: [B, D] L2 norm 1, zeros where missing.
        image: [B, D], likewise.
        weights: [B, 3], fused = sum of weight · vector.
        missing: [B] bits 1 text, 2 image, 4 behaviour.
        model_version: which weights.
    """

    fused: NDArray[np.float32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]
    weights: NDArray[np.float32]
    missing: NDArray[np.int32]
    model_version: int


class ItemEncoder(Protocol):
    """Turns products into vectors, many at once."""

    async def encode(self, tensors: Tensors) -> Encoded:
        """Answer `contracts.tensors.ITEM_ENCODER_INPUTS`.

        Raises:
            EncoderUnavailable: refused, died, or not answered in time.
        """
        ...


class Pictures(Protocol):
    """Loads pictures; blocks."""

    def load(self, uri: str) -> NDArray[np.uint8]:
        """Pixels [H, V, 3], of one size for all.

        Raises:
            ContractError: there is no picture to be had there.
            DependencyError: there may be one later.
        """
        ...

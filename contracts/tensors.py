"""The tensors of each Triton model; fixed-size numbers only, since string tensors cost 11–20 ms.

Shapes: B rows (sessions or items), E new events, W ring, X exclusions, K answers, S state, D width, L bytes of text,
H×V pixels. -1 in a declaration is a size that the request chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from contracts.errors import TensorMismatch

RING = 10  # W: newest item keys that the encoder attends to
MAX_BATCH = 64  # most sessions in one call
MAX_ANSWERS = 60  # K: candidates that one row gets back
MAX_EXCLUSIONS = 256  # X
MAX_TEXT_BYTES = 1024  # L
MODEL_NAMES = ("page_ranker", "item_encoder")


class EventKind(IntEnum):
    """How an item was touched; 0 pads. The session encoder learns one vector per kind."""

    NONE = 0
    VIEW = 1
    CART = 2
    PURCHASE = 3
    WISHLIST = 4
    REMOVE = 5


class PageCode(IntEnum):
    """`page_type` as a number."""

    HOME = 0
    CATEGORY = 1
    SEARCH = 2
    PRODUCT = 3
    CART = 4
    CHECKOUT = 5
    CONTENT = 6
    HELP = 7


class Candidate(IntEnum):
    """Where a candidate came from; its name in lower case is the `source` of the page's item."""

    ANN_FUSED = 0
    SESSION_NEIGHBOURS = 1
    CO_VISIT = 2
    POPULAR = 3
    EXPLORATION = 4
    RECENT = 5


class Effort(IntEnum):
    """How much work an answer may cost."""

    FULL = 0
    REDUCED = 1  # the best REDUCED_WIDTH candidates only


class Context(IntEnum):
    """Columns of the `context` tensor."""

    CATEGORY_KEY = 0  # contracts.keys.category_key of the page's category, 0 for all
    PAGE = 1  # PageCode
    ANCHOR_ITEM = 2  # item key of the product that the page shows, 0 for none
    TENANT_KEY = 3  # contracts.keys.tenant_key: only this tenant's items may answer
    EFFORT = 4  # Effort; the same in all rows of a call


class Voice(IntEnum):
    """Columns of the `voices` tensor: who spoke for an answer; the name in lower case is the key in the page."""

    ENCODER = 0  # the session encoder's match
    NEIGHBOURS = 1  # what similar sessions touched, what goes together
    TREND = 2  # how often it is touched, and whether more lately
    VISIT = 3  # it was touched in this session, and the session's length


class Info(IntEnum):
    """Entries of the `info` tensor."""

    MODEL_VERSION = 0
    INDEX_VERSION = 1  # sum of the next offsets of shop.item_embeddings.v1 that the index has applied
    INDEX_SIZE = 2  # items that may answer
    STATE_WIDTH = 3
    LEARNED_VERSION = 4  # which records of shop.sessions.v1 have been learned from; 0 none


class Timing(IntEnum):
    """Entries of the `timing` tensor, microseconds inside the model."""

    STEP = 0
    RETRIEVE = 1
    RANK = 2


@dataclass(frozen=True)
class TensorSpec:
    """Name, Triton data type and shape of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The NumPy type of the Triton type."""
        return np.dtype(_NUMPY[self.dtype])

    def check(self, array: NDArray[np.generic]) -> None:
        """Compare an array with the declaration.

        Raises:
            TensorMismatch: naming the tensor, what came and what was expected.
        """
        fits = len(array.shape) == len(self.shape) and all(
            want in (-1, got) for want, got in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype != self.numpy_dtype() or not fits:
            message = f"tensor {self.name}: got {array.dtype}{list(array.shape)}, expected {self.dtype}{list(self.shape)}"
            raise TensorMismatch(message, path=self.name)


_NUMPY = {"FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "UINT8": np.uint8}

PAGE_RANKER_INPUTS = (
    TensorSpec("state", "FP32", (-1, -1)),  # [B, S] before the new events; S may be 0 in a probe
    TensorSpec("ring", "INT64", (-1, RING)),  # [B, W] item keys before the new events, newest first, 0 pads
    TensorSpec("events", "INT64", (-1, -1)),  # [B, E] item keys, oldest first, 0 pads at the end
    TensorSpec("kinds", "INT32", (-1, -1)),  # [B, E] EventKind
    TensorSpec("exclude", "INT64", (-1, -1)),  # [B, X] item keys that may not answer, 0 pads
    TensorSpec("context", "INT64", (-1, len(Context))),  # [B, 5]
)
PAGE_RANKER_OUTPUTS = (
    TensorSpec("state", "FP32", (-1, -1)),  # [B, S]
    TensorSpec("items", "INT64", (-1, -1)),  # [B, K] best first, 0 pads
    TensorSpec("scores", "FP32", (-1, -1)),  # [B, K] click probability
    TensorSpec("shares", "FP32", (-1, -1, 3)),  # [B, K, 3] text, image, behaviour; a row adds up to 1
    TensorSpec("sources", "INT32", (-1, -1)),  # [B, K] Candidate
    TensorSpec("voices", "FP32", (-1, -1, len(Voice))),  # [B, K, 4] Voice; a row adds up to 1, or is 0 if nothing was learned
    TensorSpec("info", "INT64", (len(Info),)),
    TensorSpec("timing", "FP32", (len(Timing),)),
)
ITEM_ENCODER_INPUTS = (
    TensorSpec("text", "UINT8", (-1, -1)),  # [B, L] UTF-8, 0 pads; an all-zero row has no text
    TensorSpec("image", "UINT8", (-1, -1, -1, 3)),  # [B, H, V, 3] RGB
    TensorSpec("has_image", "UINT8", (-1,)),  # [B] 1 where the picture is there
    TensorSpec("keys", "INT64", (-1,)),  # [B] item keys, to look up the behaviour vector
)
ITEM_ENCODER_OUTPUTS = (
    TensorSpec("fused", "FP32", (-1, -1)),  # [B, D] L2 norm 1
    TensorSpec("text", "FP32", (-1, -1)),  # [B, D] L2 norm 1, or zeros where missing
    TensorSpec("image", "FP32", (-1, -1)),  # [B, D] likewise
    TensorSpec("weights", "FP32", (-1, 3)),  # [B, 3] text, image, behaviour: fused = sum of weight · vector
    TensorSpec("missing", "INT32", (-1,)),  # [B] bits 1 text, 2 image, 4 behaviour
    TensorSpec("info", "INT64", (len(Info),)),
)

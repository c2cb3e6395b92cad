"""Sizes and constants of the networks; no torch, so that serving reads them too."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from contracts.errors import ConfigurationError
from contracts.tensors import RING, EventKind

HEADS = ("click", "cart", "purchase", "dwell")
"""What a ranker may predict of a candidate that is shown: three probabilities and the time spent on the product's page."""


@dataclass(frozen=True)
class SessionConfig:
    """The session encoder.

    Attributes:
        dim: D, width of item vectors and of each part of the state.
        ring: W, newest items that the encoder attends to; bounds the work of one event.
        kinds: number of event kinds, each with a learned vector.
        tau: inverse temperature; logits are tau times a cosine.
        input_scale: factor on incoming item vectors; unit-norm vectors want about sqrt(D), free embeddings 1.
        dropout: share of the features dropped before the query head while training.
    """

    dim: int = 64
    ring: int = RING
    kinds: int = len(EventKind)
    tau: float = 14.0
    input_scale: float = 1.0
    dropout: float = 0.25

    @property
    def state_width(self) -> int:
        """S: h, s1, s2 of width D each, then z1 and z2."""
        return 3 * self.dim + 2


@dataclass(frozen=True)
class FusionConfig:
    """The item encoder.

    Attributes:
        dim: D, width of the fused vector.
        text_width: width of the text encoder's output.
        image_width: Di, width of the picture network's output.
        image_size: pixels of a side, for training and serving alike.
        image_channels: channels of the picture network's first stage; later stages double them.
        modality_dropout: chance that a modality is hidden from one item while training.
    """

    dim: int = 64
    text_width: int = 384
    image_width: int = 128
    image_size: int = 64
    image_channels: int = 24
    modality_dropout: float = 0.25


@dataclass(frozen=True)
class ScorerConfig:
    """The candidate ranker: `features` inputs, two hidden layers of `hidden` units, an output for each head.

    Attributes:
        features: F.
        hidden: units of a layer.
        heads: what is predicted, some of `HEADS`; `click` is the first.
    """

    features: int
    hidden: int = 32
    heads: tuple[str, ...] = ("click",)

    def __post_init__(self) -> None:
        """Take a list from a manifest for a tuple.

        Raises:
            ConfigurationError: if a head is unknown or `click` is not the first.
        """
        object.__setattr__(self, "heads", tuple(self.heads))
        if self.heads[:1] != HEADS[:1] or not set(self.heads) <= set(HEADS):
            message = f"ScorerConfig.heads: got {list(self.heads)}, expected click first and then some of {list(HEADS[1:])}"
            raise ConfigurationError(message)


Config = TypeVar("Config", SessionConfig, FusionConfig, ScorerConfig)


def from_mapping(kind: type[Config], values: dict[str, Any]) -> Config:
    """Rebuild a configuration from a manifest's mapping; see :func:`to_mapping`.

    Raises:
        ConfigurationError: if a name is unknown, naming it and what was expected.
    """
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        message = f"{kind.__name__}: unknown names {unknown}, expected some of {sorted(known)}"
        raise ConfigurationError(message)
    return kind(**values)


def to_mapping(config: SessionConfig | FusionConfig | ScorerConfig) -> dict[str, Any]:
    """Plain mapping for a manifest."""
    return asdict(config)

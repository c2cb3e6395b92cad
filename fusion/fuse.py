"""One vector per item from text, picture and behaviour, any of which may be missing, with the share of each kept exact."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.config import FusionConfig


class Fused(NamedTuple):
    """Vectors of a batch of items.

    Attributes:
        fused: [B, D], L2 norm 1 (0 where every modality is missing).
        text: [B, D], L2 norm 1 or 0 where missing.
        image: [B, D], likewise.
        behaviour: [B, D], likewise.
        weights: [B, 3] with fused = weights[:, 0]·text + weights[:, 1]·image + weights[:, 2]·behaviour.
    """

    fused: Tensor
    text: Tensor
    image: Tensor
    behaviour: Tensor
    weights: Tensor


class Fusion(nn.Module):
    """Projects text and picture beside the behaviour vectors and weighs the three by a learned gate."""

    enabled: Tensor

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.text = nn.Sequential(nn.Linear(config.text_width, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.image = nn.Sequential(nn.Linear(config.image_width, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.gate = nn.Sequential(nn.Linear(3 * dim + 4, dim), nn.GELU(), nn.Linear(dim, 3))
        # Modalities that training has seen; one it has not would only add noise.
        self.register_buffer("enabled", torch.ones(3))

    def forward(self, text_raw: Tensor, image_raw: Tensor, behaviour: Tensor, has: Tensor) -> Fused:
        """Fuse.

        Args:
            text_raw: [B, text_width] of the text encoder.
            image_raw: [B, image_width] of the picture encoder.
            behaviour: [B, D] id vectors, of any length; the length tells the gate how much behaviour was seen.
            has: float [B, 3], 1 where text, picture, behaviour are there.
        """
        present = has * self.enabled
        parts = (self.text(text_raw), self.image(image_raw), behaviour)
        units = [functional.normalize(part, dim=-1) * present[:, i : i + 1] for i, part in enumerate(parts)]
        confidence = behaviour.norm(dim=-1, keepdim=True) * present[:, 2:]
        scores = self.gate(torch.cat((*units, present, confidence), dim=-1))
        gates = torch.exp(scores - scores.amax(-1, keepdim=True)) * present
        gates = gates / gates.sum(-1, keepdim=True).clamp_min(1e-12)
        mixed = gates[:, :1] * units[0] + gates[:, 1:2] * units[1] + gates[:, 2:] * units[2]
        weights = gates / mixed.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        fused = weights[:, :1] * units[0] + weights[:, 1:2] * units[1] + weights[:, 2:] * units[2]
        return Fused(fused, units[0], units[1], units[2], weights)


def hide_modalities(has: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Modality dropout: hide each modality with a chance, never the last one of an item.

    Args:
        has: float [B, 3].
        chance: 0–1, for each of the three.
        generator: source of randomness.

    Returns:
        A new [B, 3].
    """
    kept = has * (torch.rand(has.shape, generator=generator) >= chance)
    lost_all = kept.sum(-1, keepdim=True) == 0
    return torch.where(lost_all, has, kept)

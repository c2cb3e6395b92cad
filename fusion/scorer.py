"""Candidate ranker: features of one candidate to the probability of a click."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.config import ScorerConfig

POSITIONS = 12  # places of a page whose attention is learned; further ones take the last


class Scorer(nn.Module):
    """A small network beside a linear one; while training, the place on the page explains its part of the click.

    Without positions (serving) the mean place of the training pages is meant, so that probabilities stay calibrated for
    a page as a whole and the order depends on the features alone.
    """

    mean: Tensor
    scale: Tensor
    shares: Tensor

    def __init__(self, config: ScorerConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("scale", torch.ones(config.features))
        self.register_buffer("shares", torch.full((POSITIONS,), 1.0 / POSITIONS))
        self.linear = nn.Linear(config.features, 1)
        self.hidden = nn.Sequential(
            nn.Linear(config.features, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, 1),
        )
        self.position = nn.Parameter(torch.zeros(POSITIONS))
        nn.init.zeros_(self.linear.weight)

    def logits(self, features: Tensor, position: Tensor | None = None) -> Tensor:
        """Log-odds of a click [N] from features [N, F] and, while training, 0-based positions int64 [N]."""
        inputs = ((features - self.mean) * self.scale).clamp(-8.0, 8.0)
        place = (self.position * self.shares).sum() if position is None else self.position[position.clamp_max(POSITIONS - 1)]
        out: Tensor = (self.linear(inputs) + self.hidden(inputs)).squeeze(-1) + place
        return out

    def forward(self, features: Tensor) -> Tensor:
        """Click probability [N], 0–1, of candidates with features [N, F] at an average place of the page."""
        return torch.sigmoid(self.logits(features))

    def fit_inputs(self, features: Tensor, position: Tensor) -> None:
        """Take mean and spread of the inputs [N, F] and how often each place occurs from training data."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(1.0 / features.std(0).clamp_min(1e-3))
        counts = torch.bincount(position.clamp_max(POSITIONS - 1), minlength=POSITIONS).to(torch.float32)
        self.shares.copy_(counts / counts.sum())

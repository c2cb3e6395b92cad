"""Candidate ranker: features of one candidate to the probability of a click and, with more heads, of what follows it.

R(O_p, B_u, F_p): the features hold the product, the visitor's behaviour and how the fused vectors of both meet.

Shapes: N candidates, F features, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from contracts.errors import ConfigurationError
from fusion.config import ScorerConfig

POSITIONS = 12  # places of a page whose attention is learned; further ones take the last
LONGEST_DWELL = 600.0
"""Seconds on a product's page that count as a value of 1."""


class Scorer(nn.Module):
    """A small network beside a linear one; while training, the place on the page explains its part of the click.

    Without positions (serving) the mean place of the training pages is meant, so that probabilities stay calibrated for
    a page as a whole and the order depends on the features alone. Cart and purchase are probabilities of a candidate that
    is shown, clicked or not; dwell is the logarithm of the seconds if it is clicked.
    """

    mean: Tensor
    scale: Tensor
    shares: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, config: ScorerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("scale", torch.ones(config.features))
        self.register_buffer("shares", torch.full((POSITIONS,), 1.0 / POSITIONS))
        self.register_buffer("slope", torch.ones(len(config.heads)))
        self.register_buffer("offset", torch.zeros(len(config.heads)))
        self.linear = nn.Linear(config.features, len(config.heads))
        self.hidden = nn.Sequential(
            nn.Linear(config.features, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, len(config.heads)),
        )
        self.position = nn.Parameter(torch.zeros(POSITIONS))
        nn.init.zeros_(self.linear.weight)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Weights of before there was a calibration are those of a ranker without one."""
        for name, value in (("slope", self.slope), ("offset", self.offset)):
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def outputs(self, features: Tensor, position: Tensor | None = None) -> Tensor:
        """What each head says.

        Args:
            features: [N, F].
            position: int64 [N], 0-based, while training.

        Returns:
            [N, H]: log-odds, but for dwell the log of 1 + seconds.
        """
        inputs = ((features - self.mean) * self.scale).clamp(-8.0, 8.0)
        raw: Tensor = self.linear(inputs) + self.hidden(inputs)
        place = (self.position * self.shares).sum() if position is None else self.position[position.clamp_max(POSITIONS - 1)]
        columns = [
            raw[:, head] if name == "dwell" else (raw[:, head] + place) * self.slope[head] + self.offset[head]
            for head, name in enumerate(self.heads)
        ]
        return torch.stack(columns, dim=-1)

    def logits(self, features: Tensor, position: Tensor | None = None) -> Tensor:
        """Log-odds of a click [N] from features [N, F] and, while training, 0-based positions int64 [N]."""
        return self.outputs(features, position)[:, 0]

    def forward(self, features: Tensor) -> Tensor:
        """Click probability [N], 0–1, of candidates with features [N, F] at an average place of the page."""
        return torch.sigmoid(self.logits(features))

    def values(self, features: Tensor) -> list[Tensor]:
        """What a candidate is worth by each head, H of [N], each 0–1.

        Dwell is the click probability times the log of the seconds to be expected, `LONGEST_DWELL` being 1.
        """
        said = self.outputs(features).unbind(-1)
        click = torch.sigmoid(said[0])
        longest = torch.log1p(torch.tensor(LONGEST_DWELL))
        return [
            click * (said[head] / longest).clamp(0.0, 1.0) if name == "dwell" else torch.sigmoid(said[head])
            for head, name in enumerate(self.heads)
        ]

    def fit_inputs(self, features: Tensor, position: Tensor) -> None:
        """Take mean and spread of the inputs [N, F] and how often each place occurs from training data."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(1.0 / features.std(0).clamp_min(1e-3))
        counts = torch.bincount(position.clamp_max(POSITIONS - 1), minlength=POSITIONS).to(torch.float32)
        self.shares.copy_(counts / counts.sum())


class WeightedScorer(nn.Module):
    """The value that a page is ordered by: the heads' values, weighted by the shop's objectives.

    Weights are brought to a sum of 1, so that the value stays between 0 and 1 and is the click probability itself when a
    click is all that counts. Heads of weight 0 cost nothing.

    Args:
        scorer: the trained ranker.
        objectives: weight by head, 0 or more.

    Raises:
        ConfigurationError: if a weight is for a head that the ranker does not have, is negative, or all are 0.
    """

    def __init__(self, scorer: Scorer, objectives: Mapping[str, float]) -> None:
        super().__init__()
        self.scorer = scorer
        unknown = sorted(name for name, weight in objectives.items() if weight and name not in scorer.heads)
        if unknown:
            message = f"objectives: {', '.join(unknown)} has no head in this artefact, expected some of {list(scorer.heads)}"
            raise ConfigurationError(message)
        total = sum(objectives.values())
        if min(objectives.values(), default=0.0) < 0 or total <= 0:
            message = f"objectives: got {dict(objectives)}, expected weights of 0 or more and one above 0"
            raise ConfigurationError(message)
        self.weights = [objectives.get(name, 0.0) / total for name in scorer.heads]

    def forward(self, features: Tensor) -> Tensor:
        """Value [N], 0–1, of candidates with features [N, F]."""
        if self.weights[0] == 1.0:
            clicks: Tensor = self.scorer(features)
            return clicks
        # Added one by one: a sum over an axis has another order in another batch.
        result = torch.zeros_like(features[:, 0])
        for weight, value in zip(self.weights, self.scorer.values(features), strict=True):
            if weight:
                result = result + weight * value
        return result

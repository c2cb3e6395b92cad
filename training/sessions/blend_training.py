"""The blend's training: a listwise softmax over the candidates of validation queries.

Shapes: N queries, C candidates, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.blend import FEATURES, Blend
from training.sessions.blending import Candidates
from training.sessions.data import Ints


@dataclass(frozen=True)
class BlendRecipe:
    """How the blend is trained; the defaults are for every data set.

    Attributes:
        queries: of the validation slice that it learns from, at most.
        hidden: units of the hidden layer.
        epochs: over them; the one with the least loss on a held-out tenth is kept.
        batch: queries of a step, fewer if there are few queries.
        learning_rate: at the start; a cosine brings it to zero.
        seed: of weights, order and the held-out tenth.
    """

    queries: int = 80_000
    hidden: int = 128
    epochs: int = 12
    batch: int = 256
    learning_rate: float = 1e-2
    seed: int = 0


class _Network(nn.Module):
    """The blend while it is trained."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(len(FEATURES), hidden)
        self.out = nn.Linear(hidden, 1, bias=False)
        self.line = nn.Linear(len(FEATURES), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (self.out(functional.relu(self.hidden(x))) + self.line(x)).squeeze(-1)
        return result


class _Lists:
    """The queries whose target is among their candidates, normalised one batch at a time."""

    def __init__(self, made: Candidates, targets: Ints) -> None:
        is_target = (made.items == targets[:, None]) & (targets[:, None] >= 0)
        kept = np.flatnonzero(is_target.any(axis=1))
        self.answers = torch.from_numpy(is_target[kept].argmax(axis=1))
        self._features = torch.from_numpy(made.features[kept])
        self._empty = torch.from_numpy(np.where(made.items[kept] >= 0, 0.0, -1e9).astype(np.float32))
        spread = kept[:: len(kept) // 8192 + 1]
        some = made.features[spread][made.items[spread] >= 0].astype(np.float64)
        self.mean = some.mean(axis=0).astype(np.float32)
        self.scale = np.maximum(some.std(axis=0).astype(np.float32), 1e-3)

    def __len__(self) -> int:
        return len(self.answers)

    def loss(self, network: _Network, rows: Tensor) -> Tensor:
        x = (self._features[rows].to(torch.float32) - torch.from_numpy(self.mean)) / torch.from_numpy(self.scale)
        return functional.cross_entropy(network(x) + self._empty[rows], self.answers[rows])

    @torch.no_grad()
    def mean_loss(self, network: _Network, rows: Tensor) -> float:
        parts = [(float(self.loss(network, some)), len(some)) for some in torch.split(rows, 1024)]
        return sum(loss * count for loss, count in parts) / max(1, len(rows))


def train_blend(
    made: Candidates, targets: Ints, recipe: BlendRecipe, tick: Callable[[float], None]
) -> tuple[Blend, list[float]]:
    """Fit the blend to the queries whose target is among their candidates; a tenth of them, not learned from, stops it early.

    Args:
        made: candidates of N queries.
        targets: int64 [N].
        recipe: how.
        tick: told the share of the epochs that is done.

    Returns:
        The blend, and the loss on the held-out tenth after each epoch.
    """
    torch.manual_seed(recipe.seed)
    lists = _Lists(made, targets)
    order = torch.randperm(len(lists), generator=torch.Generator().manual_seed(recipe.seed))
    held, used = order[: len(order) // 10], order[len(order) // 10 :]
    batch = min(recipe.batch, max(16, len(used) // 40))
    network = _Network(recipe.hidden)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * (len(used) // batch + 1))
    best, curve, state = float("inf"), [], network.state_dict()
    for epoch in range(1, recipe.epochs + 1):
        for rows in torch.split(used[torch.randperm(len(used))], batch):
            optimizer.zero_grad()
            torch.autograd.backward(lists.loss(network, rows))
            optimizer.step()
            schedule.step()
        curve.append(lists.mean_loss(network, held))
        if curve[-1] < best:
            best, state = curve[-1], {name: value.clone() for name, value in network.state_dict().items()}
        tick(epoch / recipe.epochs)
    weights = {name: value.numpy() for name, value in state.items()}
    blend = Blend(
        lists.mean,
        lists.scale,
        weights["hidden.weight"],
        weights["hidden.bias"],
        weights["out.weight"][0],
        weights["line.weight"][0],
    )
    return blend, curve

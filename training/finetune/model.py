"""Towers and a task head as one network over the rows of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from training.distributed import World
from training.finetune.data import Ints, Items
from training.finetune.heads import TaskHead
from training.finetune.recipe import Recipe
from training.finetune.towers import Tower, merge, prepare

CHUNK = 128
"""Items encoded at once where no gradient is wanted."""


class Classifier(nn.Module):
    """Rows of a catalogue to logits [B, C] of a task.

    Args:
        towers: by name, `text` before `image`; their widths add up to W.
        classes: C.
        recipe: says what of them is trained.
    """

    def __init__(self, towers: Mapping[str, Tower], classes: int, recipe: Recipe) -> None:
        super().__init__()
        for tower in towers.values():
            prepare(tower, recipe)
        self.towers = nn.ModuleDict(dict(towers))
        self.head = TaskHead(sum(tower.width for tower in towers.values()), classes, recipe.dropout)
        self._table: Tensor | None = None

    def read(self, items: Items) -> None:
        """Take the items whose rows are asked for."""
        for tower in self._each():
            tower.read(items)
        self._table = None

    def remember(self, rows: int) -> None:
        """Encode all items once; right as long as no tower is trained."""
        self._table = self.encode(np.arange(rows), World()).to(self.head.centre.device)

    def forward(self, rows: Ints) -> Tensor:
        """Logits [len(rows), C]."""
        logits: Tensor = self.head(self.features(rows))
        return logits

    def features(self, rows: Ints) -> Tensor:
        """Vectors [len(rows), W]: each tower's unit vector beside the other's."""
        if self._table is not None:
            return self._table[rows]
        return torch.cat([tower(rows) for tower in self._each()], dim=-1)

    def encode(self, rows: Ints, world: World) -> Tensor:
        """Features of many rows, without gradient, shared among the processes: [len(rows), W]."""
        return self._many(rows, world, logits=False)

    def predict(self, rows: Ints, world: World) -> Tensor:
        """Logits of many rows, likewise: [len(rows), C]."""
        return self._many(rows, world, logits=True)

    @torch.no_grad()
    def _many(self, rows: Ints, world: World, *, logits: bool) -> Tensor:
        self.eval()
        mine = rows[world.rank :: world.size]
        parts = [mine[start : start + CHUNK] for start in range(0, len(mine), CHUNK)] or [rows[:0]]
        width = self.head.layer.out_features if logits else self.head.layer.in_features
        answers = [(self(part) if logits else self.features(part)).cpu() for part in parts if len(part)]
        own = torch.cat(answers) if answers else torch.zeros(0, width)
        return torch.from_numpy(world.gathered(own.numpy(), len(rows)))

    def trained(self) -> dict[str, Tensor]:
        """What training changes, by name, and the head's centre."""
        weights: dict[str, Tensor] = {name: weight for name, weight in self.named_parameters() if weight.requires_grad}
        return weights | {"head.centre": self.head.centre}

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Put back what `trained` gave."""
        for name, weight in self.trained().items():
            weight.copy_(weights[name])

    def merge(self) -> None:
        """Towers without adapters that answer as those with them."""
        for tower in self._each():
            merge(tower)

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, object]]:
        """For the optimiser: the head, the adapters and pretrained weights, each at its own rate; empty groups are left out."""
        rates = {"head": recipe.head_rate, "adapter": recipe.adapter_rate, "pretrained": recipe.rate}
        groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in rates}
        for name, weight in self.named_parameters():
            if weight.requires_grad:
                kind = "head" if name.startswith("head.") else "adapter" if "lora_" in name else "pretrained"
                groups[kind].append(weight)
        return [{"params": weights, "lr": rates[kind], "highest": rates[kind]} for kind, weights in groups.items() if weights]

    def _each(self) -> list[Tower]:
        return list(self.towers.values())  # type: ignore[arg-type]

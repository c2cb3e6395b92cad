"""How towers are tuned: all constants, with the bounds they must keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from contracts.errors import ConfigurationError

Mode = Literal["full", "lora", "frozen"]
Towers = Literal["text", "image", "both"]
MODES: tuple[Mode, ...] = ("full", "lora", "frozen")
TOWERS: tuple[Towers, ...] = ("text", "image", "both")


@dataclass(frozen=True)
class Recipe:
    """How a model is tuned.

    Attributes:
        mode: `full` trains the towers' own weights, `lora` low-rank adapters beside them, `frozen` the head alone.
        towers: which of them feed the head.
        optimizer: AdamW, or SGD with momentum 0.9.
        rate: highest learning rate of pretrained weights.
        adapter_rate: the same for the adapters, which begin at nothing.
        head_rate: the same for the head, which begins as class means and whose weights are long.
        warm_up: share of the steps in which rates rise.
        decay: what follows: a straight line or half a cosine, down to 0.
        batch: items of a step, over all processes.
        fewest: epochs before which convergence does not stop the training.
        most: epochs at which it stops anyway.
        patience: epochs without a gain of `gain` in macro-F1 on the validation part after which it has converged.
        gain: see `patience`.
        freeze_layers: in mode full, the embeddings and so many first layers of the text tower stay as they are.
        rank: of the adapters.
        dropout: before the head, in the adapters and in the towers trained; 0 turns all of it off.
        weight_decay: of the optimiser.
        clip: longest gradient.
        seed: of order, dropout and adapters.
    """

    mode: Mode = "lora"
    towers: Towers = "text"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    rate: float = 5e-5
    adapter_rate: float = 1e-3
    head_rate: float = 1e-2
    warm_up: float = 0.1
    decay: Literal["linear", "cosine"] = "linear"
    batch: int = 32
    fewest: int = 10
    most: int = 50
    patience: int = 3
    gain: float = 1e-3
    freeze_layers: int = 0
    rank: int = 8
    dropout: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the option."""
        bounds: dict[str, tuple[float, float]] = {
            "rate": (1e-7, 1.0),
            "adapter_rate": (1e-7, 1.0),
            "head_rate": (1e-7, 1.0),
            "warm_up": (0.0, 0.9),
            "batch": (1, 4096),
            "fewest": (1, self.most),
            "patience": (1, 1000),
            "freeze_layers": (0, 1000),
            "rank": (1, 512),
            "dropout": (0.0, 0.9),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                message = f"--{name.replace('_', '-')}: {value}, expected {low:g} to {high:g}"
                raise ConfigurationError(message)

    def factor(self, step: int, steps: int) -> float:
        """Share of the highest rate at a step, from 0 of `steps`: a straight rise, then the decay."""
        rise = max(1, round(steps * self.warm_up))
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, steps - rise)
        return 0.5 * (1 + math.cos(math.pi * done)) if self.decay == "cosine" else 1 - done

"""Trains the picture network by contrast: a picture and the words for what it shows should meet (InfoNCE)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fusion.image import ImageEncoder


@dataclass(frozen=True)
class PictureRecipe:
    """How the picture network is trained."""

    epochs: int = 14
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_up: float = 0.1
    """Share of the steps in which the learning rate rises."""
    clip: float = 5.0


def cosine_schedule(optimizer: torch.optim.Optimizer, steps: int, warm_up: float) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear rise, then half a cosine down to 2 %."""
    rise = max(1, int(steps * warm_up))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.02 + 0.49 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR, clip: float) -> float:
    """One step of the optimiser down a loss, with gradients cut to a norm; returns the loss."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], clip)
    optimizer.step()
    schedule.step()
    return float(loss.detach())


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the pictures, shift all a little, vary the light; uint8 [B, H, V, 3] in and out."""
    flipped = torch.where(torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5, pixels.flip(2), pixels)
    shift = torch.randint(-4, 5, (2,), generator=generator).tolist()
    light = 0.85 + 0.3 * torch.rand(len(pixels), 1, 1, 1, generator=generator)
    return (flipped.roll(shift, (1, 2)).to(torch.float32) * light).clamp(0, 255).to(torch.uint8)


def train_pictures(
    network: ImageEncoder,
    pixels: NDArray[np.uint8],
    captions: NDArray[np.float32],
    recipe: PictureRecipe,
    tick: Callable[[float], None],
    to_words: nn.Linear | None = None,
) -> list[float]:
    """Train in place, by symmetric InfoNCE with a learned temperature (Radford et al., 2021).

    Args:
        network: the picture network.
        pixels: uint8 [n, H, V, 3].
        captions: float32 [n, text_width], vectors of the words for each picture.
        recipe: how.
        tick: called after each step with its loss.
        to_words: layer from the pictures' vectors to those of the words, for who wants to keep it; a new one by default.

    Returns:
        Mean loss of each epoch.
    """
    generator = torch.Generator().manual_seed(17)
    to_words = to_words if to_words is not None else nn.Linear(network.width, captions.shape[1])
    temperature = nn.Parameter(torch.tensor(math.log(14.0)))
    parameters = [*network.parameters(), *to_words.parameters(), temperature]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    pictures, words = torch.from_numpy(pixels), functional.normalize(torch.from_numpy(captions - captions.mean(0)), dim=-1)
    schedule = cosine_schedule(optimizer, recipe.epochs * (len(pixels) // recipe.batch), recipe.warm_up)
    network.train()
    losses = []
    for _ in range(recipe.epochs):
        order = torch.randperm(len(pictures), generator=generator)
        total, steps = 0.0, len(pictures) // recipe.batch
        for step in range(steps):
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            seen = functional.normalize(to_words(network(augment(pictures[rows], generator))), dim=-1)
            same = words[rows] @ words[rows].T > 0.999  # several products have the same words: all of them are right
            logits = temperature.exp().clamp_max(50.0) * seen @ words[rows].T
            wanted = same.to(torch.float32) / same.sum(-1, keepdim=True)
            loss = functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)
            value = descend(loss, optimizer, schedule, recipe.clip)
            total += value
            tick(value)
        losses.append(total / steps)
    network.eval()
    return losses


def encode_pictures(network: nn.Module, pixels: NDArray[np.uint8], batch: int = 128) -> Tensor:
    """Vectors float32 [n, image_width] of all pictures."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(torch.from_numpy(pixels[start : start + batch])) for start in range(0, len(pixels), batch)])

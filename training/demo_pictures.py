"""Trains the picture network by contrast: a picture and the words for what it shows should meet (InfoNCE)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Kept:
    """What a caller keeps of a training besides the network.

    Attributes:
        to_words: layer from the pictures' vectors to those of the words, trained in place.
        checkpoint: file from which a killed training goes on after its last finished epoch; None for none.
    """

    to_words: nn.Linear
    checkpoint: Path | None = None

    def save(
        self,
        learned: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        generator: torch.Generator,
        losses: list[float],
    ) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        if self.checkpoint is not None:
            state = {
                "learned": learned.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "generator": generator.get_state(),
                "losses": losses,
            }
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            part = self.checkpoint.with_suffix(".part")
            torch.save(state, part)
            part.replace(self.checkpoint)

    def resume(
        self,
        learned: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        generator: torch.Generator,
    ) -> list[float]:
        """Load the checkpoint, if there is one, and return the losses of its epochs."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return []
        state = torch.load(self.checkpoint, weights_only=True)
        learned.load_state_dict(state["learned"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        return list(state["losses"])


def train_pictures(
    network: ImageEncoder,
    pixels: NDArray[np.uint8],
    captions: NDArray[np.float32],
    recipe: PictureRecipe,
    tick: Callable[[float], None],
    kept: Kept | None = None,
) -> list[float]:
    """Train in place, by symmetric InfoNCE with a learned temperature (Radford et al., 2021).

    Args:
        network: the picture network.
        pixels: uint8 [n, H, V, 3].
        captions: float32 [n, text_width], vectors of the words for each picture.
        recipe: how.
        tick: called after each step with its loss.
        kept: what is wanted besides the network; nothing by default.

    Returns:
        Mean loss of each epoch.
    """
    generator = torch.Generator().manual_seed(17)
    kept = kept or Kept(nn.Linear(network.width, captions.shape[1]))
    temperature = nn.Parameter(torch.tensor(math.log(14.0)))
    learned = nn.ModuleList([network, kept.to_words, nn.ParameterList([temperature])])
    optimizer = torch.optim.AdamW(learned.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    pictures, words = torch.from_numpy(pixels), functional.normalize(torch.from_numpy(captions - captions.mean(0)), dim=-1)
    schedule = cosine_schedule(optimizer, recipe.epochs * (len(pixels) // recipe.batch), recipe.warm_up)
    losses = kept.resume(learned, optimizer, schedule, generator)
    network.train()
    for _ in range(len(losses), recipe.epochs):
        order = torch.randperm(len(pictures), generator=generator)
        total, steps = 0.0, len(pictures) // recipe.batch
        for step in range(steps):
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            seen = functional.normalize(kept.to_words(network(augment(pictures[rows], generator))), dim=-1)
            same = words[rows] @ words[rows].T > 0.999  # several products have the same words: all of them are right
            logits = temperature.exp().clamp_max(50.0) * seen @ words[rows].T
            wanted = same.to(torch.float32) / same.sum(-1, keepdim=True)
            loss = functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)
            value = descend(loss, optimizer, schedule, recipe.clip)
            total += value
            tick(value)
        losses.append(total / steps)
        kept.save(learned, optimizer, schedule, generator, losses)
    network.eval()
    return losses


def encode_pictures(network: nn.Module, pixels: NDArray[np.uint8], batch: int = 128) -> Tensor:
    """Vectors float32 [n, image_width] of all pictures."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(torch.from_numpy(pixels[start : start + batch])) for start in range(0, len(pixels), batch)])

"""Task heads: one small layer for each task over shared towers, kept by name as safetensors, with adapters if there are any."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import ConfigurationError

SUFFIX = ".safetensors"
SHARPNESS = 20.0
"""Length of a class's first vector: its logit is that times a cosine."""


class TaskHead(nn.Module):
    """Features [B, W] to logits [B, C]. It begins as the nearest-centroid classifier of the features that it is shown.

    Args:
        width: W, of all towers together.
        classes: C.
        dropout: before the layer.
    """

    centre: Tensor

    def __init__(self, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.Linear(width, classes)

    @torch.no_grad()
    def begin(self, features: Tensor, labels: Tensor) -> None:
        """Take the mean of each class as its vector.

        Args:
            features: [n, W] of the training part.
            labels: int64 [n].
        """
        self.centre.copy_(features.mean(0))
        units = functional.normalize(features - self.centre, dim=-1)
        sums = torch.zeros_like(self.layer.weight).index_add_(0, labels, units)
        self.layer.weight.copy_(SHARPNESS * functional.normalize(sums, dim=-1))
        self.layer.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, C]."""
        units = functional.normalize(features - self.centre, dim=-1)
        logits: Tensor = self.layer(self.dropout(units))
        return logits


@dataclass(frozen=True)
class About:
    """What a head needs to be used again.

    Attributes:
        task: what it names.
        classes: in the order of the logits.
        towers: which feed it, in the order of the features.
        mode: how it was trained.
        rank: of the adapters that lie beside the head; 0 if there are none.
        text_encoder: name or path of the text tower under the adapters, or of the tuned one.
        image_encoder: likewise.
        side: pixels of a photo's side.
    """

    task: str
    classes: tuple[str, ...]
    towers: str
    mode: str
    rank: int
    text_encoder: str
    image_encoder: str
    side: int


def path_of(folder: Path, name: str) -> Path:
    """File of a head.

    Raises:
        ConfigurationError: if the name is no plain file name.
    """
    if not name or Path(name).name != name or name.startswith("."):
        message = f"--head: {name!r}, expected a plain name such as `colour`"
        raise ConfigurationError(message)
    return folder / f"{name}{SUFFIX}"


def names(folder: Path) -> list[str]:
    """Heads that are there."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def save(folder: Path, name: str, about: About, tensors: dict[str, Tensor]) -> Path:
    """Write a head; one of the same name is replaced.

    Args:
        folder: of all heads; created if missing.
        name: of this one.
        about: kept in the file's metadata.
        tensors: `head.*` and, with adapters, `text.*` and `image.*`.
    """
    path = path_of(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    save_file(plain, part, metadata={"about": json.dumps(about.__dict__)})
    part.replace(path)
    return path


def load(folder: Path, name: str) -> tuple[About, dict[str, Tensor]]:
    """Read a head.

    Raises:
        ConfigurationError: if there is none of that name, naming those that are there, or the file is no head.
    """
    path = path_of(folder, name)
    if not path.exists():
        message = f"--head: no {name!r} in {folder}, expected one of {names(folder)}; `vitrine finetune --head NAME` makes one"
        raise ConfigurationError(message)
    with safe_open(path, "pt") as file:
        words: dict[str, Any] = file.metadata() or {}
        if "about" not in words:
            message = f"--head: {path} is a safetensors file without a head's metadata"
            raise ConfigurationError(message)
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    about = json.loads(words["about"])
    return About(**{**about, "classes": tuple(about["classes"])}), tensors

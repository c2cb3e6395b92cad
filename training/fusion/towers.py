"""The picture tower of a shop: our compact network, taught by the titles of the products whose photos it sees.

Symmetric InfoNCE between photo and title with a learned temperature; the title's vector comes from the text tower, whose
weights stay as they are. A folder with the result is a name for `model.image_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from fusion.config import FusionConfig
from fusion.image import ImageEncoder
from fusion.vision import WEIGHTS
from training.demo_pictures import PictureRecipe, encode_pictures, train_pictures
from training.fusion.heads import found

Tick = Callable[[float], None]


@dataclass(frozen=True)
class TowerRecipe:
    """Sizes of the network and its training."""

    sizes: FusionConfig = field(default_factory=lambda: FusionConfig(image_channels=32, image_width=192))
    pictures: PictureRecipe = field(default_factory=PictureRecipe)
    seed: int = 0


def train_tower(
    pixels: NDArray[np.uint8], titles: Tensor, parts: dict[str, NDArray[np.int64]], recipe: TowerRecipe, tick: Tick
) -> tuple[ImageEncoder, dict[str, Any]]:
    """Train on the train part.

    Args:
        pixels: uint8 [N, S, S, 3].
        titles: float32 [N, W], vectors of the titles, L2 norm 1.
        parts: rows of `train` and `test`.
        recipe: how.
        tick: told the share that is done.

    Returns:
        The network, whose vectors of the training photos have mean 0 and spread 1, and its measures on the test part before
        and after: titles find photos and photos find titles among all of that part.
    """
    torch.manual_seed(recipe.seed)
    network = ImageEncoder(recipe.sizes)
    to_words = nn.Linear(network.width, titles.shape[1])
    train, test = parts["train"], parts["test"]
    before = _judge(network, to_words, pixels[test], titles[test], titles[train].mean(0))
    steps, done = recipe.pictures.epochs * (len(train) // recipe.pictures.batch), 0

    def advance(_: float) -> None:
        nonlocal done
        done += 1
        tick(min(1.0, done / max(steps, 1)))

    losses = train_pictures(network, pixels[train], titles[train].numpy(), recipe.pictures, advance, to_words)
    after = _judge(network, to_words, pixels[test], titles[test], titles[train].mean(0))
    network.standardise(encode_pictures(network, pixels[train]))
    return network, {"before": before, "after": after, "losses": losses, "photos": len(train), "tested on": len(test)}


@torch.no_grad()
def _judge(
    network: ImageEncoder, to_words: nn.Linear, pixels: NDArray[np.uint8], titles: Tensor, middle: Tensor
) -> dict[str, dict[str, float]]:
    seen = functional.normalize(to_words(encode_pictures(network, pixels)), dim=-1)
    said = functional.normalize(titles - middle, dim=-1)
    return {"title → image": found((said @ seen.T).numpy()), "image → title": found((seen @ said.T).numpy())}


def save(network: ImageEncoder, folder: Path) -> None:
    """Write the weights where `model.image_encoder` finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in network.state_dict().items()}, folder / WEIGHTS)

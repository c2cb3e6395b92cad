"""Text and picture towers: opened by name or path, frozen in part, given adapters, merged and saved for serving.

Batch normalisation keeps the statistics of the pretraining, as is usual with batches this small; so several processes
learn what one does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import ConfigurationError
from fusion import artefact as artefacts
from fusion import checkpoint
from fusion.config import FusionConfig
from fusion.image import ImageEncoder
from fusion.text import MAX_TOKENS, TextEncoder, load_tokenizer
from fusion.vision import VisionEncoder
from training.finetune.data import Ints, Items
from training.finetune.recipe import Recipe

Pictures = ImageEncoder | VisionEncoder


class TextTower(nn.Module):
    """Titles, by row, to unit vectors [B, width]; all titles are cut into tokens once."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.encoder = TextEncoder(name)
        self.tokenizer = load_tokenizer(name)
        self.width = self.encoder.width
        self._ids: list[list[int]] = []

    def read(self, items: Items) -> None:
        """Take the titles whose rows `forward` is asked for."""
        self._ids = self.tokenizer(list(items.titles), truncation=True, max_length=MAX_TOKENS)["input_ids"]

    def forward(self, rows: Ints) -> Tensor:
        """Vectors float32 [len(rows), width], L2 norm 1."""
        chosen = [{"input_ids": self._ids[row]} for row in rows]
        tokens = self.tokenizer.pad(chosen, return_tensors="pt").to(next(self.parameters()).device)
        return cast("Tensor", self.encoder(tokens["input_ids"], tokens["attention_mask"]))


class PictureTower(nn.Module):
    """Photos, by row, to unit vectors [B, width], zero where an item has none."""

    def __init__(self, encoder: Pictures, width: int) -> None:
        super().__init__()
        self.encoder, self.width = encoder, width
        self._pixels, self._pictured = torch.zeros(0, 1, 1, 3, dtype=torch.uint8), torch.zeros(0)

    def read(self, items: Items) -> None:
        """Take the photos whose rows `forward` is asked for."""
        if items.pixels is None:
            message = "towers: pictures are wanted and the items were read without photos"
            raise ConfigurationError(message)
        self._pixels = torch.from_numpy(items.pixels)
        self._pictured = torch.from_numpy(items.pictured).to(torch.float32)

    def forward(self, rows: Ints) -> Tensor:
        """Vectors float32 [len(rows), width], L2 norm 1 or 0."""
        device = next(self.parameters()).device
        vectors = functional.normalize(self.encoder(self._pixels[rows].to(device)), dim=-1)
        return vectors * self._pictured[rows].to(device).unsqueeze(1)

    def train(self, mode: bool = True) -> PictureTower:
        """As torch's, but batch normalisation keeps its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


Tower = TextTower | PictureTower


def open_pictures(name: str) -> PictureTower:
    """A picture tower: a folder with an artefact of ours (its compact network), or a Hugging Face vision model.

    Args:
        name: a folder with our `manifest.json`, or what :class:`fusion.vision.VisionEncoder` takes.

    Raises:
        ConfigurationError: if it cannot be loaded.
    """
    if (Path(name) / checkpoint.MANIFEST).exists():
        artefact = artefacts.load(Path(name))
        return PictureTower(artefact.image, artefact.fusion_config.image_width)
    if (Path(name) / COMPACT_WEIGHTS).exists():
        weights = load_file(Path(name) / COMPACT_WEIGHTS)
        sizes = FusionConfig(image_channels=len(weights["blocks.0.0.weight"]), image_width=len(weights["head.bias"]))
        compact = ImageEncoder(sizes)
        compact.load_state_dict(weights)
        return PictureTower(compact, sizes.image_width)
    vision = VisionEncoder(name)
    return PictureTower(vision, vision.width)


COMPACT_WEIGHTS = "image.safetensors"


def prepare(tower: Tower, recipe: Recipe) -> None:
    """Decide what of a tower is trained; adapters are put in under torch's current seed."""
    tower.requires_grad_(False)
    if recipe.mode == "full":
        tower.requires_grad_(True)
        for name, weight in tower.named_parameters():
            if "pooler" in name and isinstance(tower, TextTower):  # a mean over the tokens is what is used
                weight.requires_grad_(False)
        if isinstance(tower, TextTower) and recipe.freeze_layers:
            _freeze(tower.encoder, recipe.freeze_layers)
    elif recipe.mode == "lora":
        config = LoraConfig(
            r=recipe.rank, lora_alpha=2 * recipe.rank, lora_dropout=recipe.dropout, target_modules=adaptable(tower.encoder)
        )
        tower.encoder = cast("Any", get_peft_model(cast("Any", tower.encoder), config))
    if recipe.dropout == 0.0:
        for module in tower.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0


def adaptable(encoder: nn.Module) -> list[str]:
    """Names of the layers that get adapters: every linear map and every convolution that is not grouped."""
    return [
        name
        for name, module in encoder.named_modules()
        if "pooler" not in name and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
    ]


def _freeze(encoder: nn.Module, layers: int) -> None:
    """Keep the embeddings and the first layers of the longest stack in a network."""
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    longest = max(stacks, key=len, default=nn.ModuleList())
    if layers >= max(len(longest), 1):
        message = f"--freeze-layers: {layers}, expected fewer than the tower's {len(longest)} layers"
        raise ConfigurationError(message)
    still = [*longest[:layers], *(module for name, module in encoder.named_modules() if name.endswith("embeddings"))]
    for module in still:
        module.requires_grad_(False)


def merge(tower: Tower) -> None:
    """Add the adapters to the weights beside them; the tower is then of the kind that it was before `prepare`."""
    unload = getattr(tower.encoder, "merge_and_unload", None)
    if unload is not None:
        tower.encoder = unload()


def save(tower: Tower, folder: Path) -> None:
    """Write a merged tower so that its folder is its name: `model.text_encoder` and `--image-encoder` take it."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = tower.encoder
    if isinstance(tower, TextTower):
        cast("Any", encoder).encoder.save_pretrained(folder)
        tower.tokenizer.save_pretrained(folder)
    elif isinstance(encoder, ImageEncoder):
        save_file({name: weight.contiguous() for name, weight in encoder.state_dict().items()}, folder / COMPACT_WEIGHTS)
    else:
        cast("Any", encoder).encoder.save_pretrained(folder)
        _save_scaling(cast("VisionEncoder", encoder), folder)


def _save_scaling(encoder: VisionEncoder, folder: Path) -> None:
    """What the encoder does to colours, in the file where transformers keep it."""
    scaling = {"image_mean": encoder.mean.flatten() / 255.0, "image_std": encoder.deviation.flatten() / 255.0}
    content = json.dumps({name: values.tolist() for name, values in scaling.items()})
    (folder / "preprocessor_config.json").write_text(content + "\n", encoding="utf-8")

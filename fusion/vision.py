"""Picture encoders by name: our compact network, or any Hugging Face vision model by name or path.

Both take RGB bytes and answer with one vector, so that scaling cannot differ between training and serving. A Hugging Face
model is used as it was published: its weights stay where they came from and an artefact holds only their name.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel
from transformers.utils.hub import cached_file
from transformers.utils.logging import disable_progress_bar

from contracts.errors import ConfigurationError
from fusion.config import FusionConfig
from fusion.image import ImageEncoder

COMPACT = "compact"
WEIGHTS = "image.safetensors"
"""Weights of our compact network in a folder of its own, as `vitrine train towers` writes them."""
HALF = [0.5] * 3


class VisionEncoder(nn.Module):
    """RGB bytes [B, H, V, 3] to the pooled output [B, width] of a Hugging Face vision model.

    Classes of transformers such as ViT, DINOv2, SigLIP, CLIP, ResNet and ConvNeXt are alike here: a model of two towers
    gives its picture tower; a pooled output is taken where the published weights have a pooling layer, else the mean over
    the tokens. Pictures of another size than the model was made for are scaled (bilinear) inside.

    Args:
        name: a Hugging Face name, or a folder with `config.json` and weights.

    Raises:
        ConfigurationError: if there is no such model, it takes no pictures, or weights besides the pooling layer are missing.
    """

    mean: Tensor
    deviation: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        disable_progress_bar()  # type: ignore[no-untyped-call]
        whole, found = _load(name)
        self.encoder = getattr(whole, "vision_model", whole) if hasattr(whole.config, "vision_config") else whole
        self.pools = not _missing_pooler(name, found)
        config = getattr(whole.config, "vision_config", whole.config)
        size = getattr(config, "image_size", None)
        if getattr(self.encoder, "main_input_name", "") != "pixel_values" or getattr(config, "num_channels", 3) != 3:
            message = f"model.image_encoder: {name} is a {type(whole).__name__}, expected a model of RGB pictures"
            raise ConfigurationError(message)
        # Transformers take pictures of one size; networks of convolutions alone (`hidden_sizes`) take any.
        self.side = int(size[0] if isinstance(size, list | tuple) else size) if size and hasattr(config, "hidden_size") else 0
        mean, deviation = _scaling(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255.0)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1) * 255.0)
        self.encoder.requires_grad_(requires_grad=False)
        self.eval()
        with torch.no_grad():
            probe = self._pooled(torch.zeros(1, self.side or 64, self.side or 64, 3, dtype=torch.uint8))
        self.width = int(probe.shape[1])
        self.register_buffer("centre", torch.zeros(self.width))
        self.register_buffer("spread", torch.ones(()))

    def _pooled(self, pixels: Tensor) -> Tensor:
        scaled = (pixels.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.deviation
        if self.side:
            scaled = functional.interpolate(scaled, (self.side, self.side), mode="bilinear", align_corners=False)
        out = self.encoder(pixel_values=scaled)
        pooled = getattr(out, "pooler_output", None) if self.pools else None
        if pooled is None:
            hidden: Tensor = out.last_hidden_state  # [B, tokens, width], or maps [B, width, h, v]
            pooled = hidden.mean(1) if hidden.dim() == 3 else hidden.mean((2, 3))
        flat: Tensor = pooled.flatten(1)
        return flat

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode.

        Args:
            pixels: uint8 [B, H, V, 3], RGB.

        Returns:
            float32 [B, width], moved and scaled as `standardise` found.
        """
        return (self._pooled(pixels) - self.centre) / self.spread

    @torch.no_grad()
    def standardise(self, vectors: Tensor) -> None:
        """Have vectors [n, width] that this encoder gave come out with mean 0 and spread 1 from now on."""
        middle = vectors.mean(0)
        self.centre += self.spread * middle
        self.spread *= (vectors - middle).std().clamp_min(1e-6)

    def own_state(self) -> dict[str, Tensor]:
        """What an artefact keeps: everything but the published weights."""
        return {"centre": self.centre, "spread": self.spread}


def _load(name: str) -> tuple[Any, dict[str, Any]]:
    try:
        loaded: tuple[Any, dict[str, Any]] = AutoModel.from_pretrained(
            name, attn_implementation="eager", output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        message = (
            f"model.image_encoder: {name!r} cannot be loaded, expected `compact`, a Hugging Face name or a folder: {reason}"
        )
        raise ConfigurationError(message) from error
    return loaded


def _missing_pooler(name: str, found: dict[str, Any]) -> bool:
    """Whether the weights have no pooling layer, which would then be random."""
    missing = sorted(found["missing_keys"])
    others = [key for key in missing if "pooler" not in key]
    if others:
        message = f"model.image_encoder: the weights of {name} lack {', '.join(others[:3])} ({len(others)} in all)"
        raise ConfigurationError(message)
    return bool(missing)


def _scaling(name: str) -> tuple[list[float], list[float]]:
    """Mean and deviation of each colour, 0–1, from `preprocessor_config.json`; .5 where the model has none."""
    file = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    values = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    return values.get("image_mean") or HALF, values.get("image_std") or HALF


def open_image_encoder(name: str, config: FusionConfig) -> ImageEncoder | VisionEncoder:
    """The picture encoder of a setting `model.image_encoder`.

    Args:
        name: `compact`, which has torch's current random weights; a folder with the weights of a trained compact network; or
            what :class:`VisionEncoder` takes.
        config: sizes of a compact network that is new; a trained one has its own channels and width.

    Raises:
        ConfigurationError: as :class:`VisionEncoder`.
    """
    if name == COMPACT:
        return ImageEncoder(config)
    weights = Path(name) / WEIGHTS
    if not weights.exists():
        return VisionEncoder(name)
    found = load_file(weights)
    channels, width = len(found["blocks.0.0.weight"]), len(found["head.bias"])
    network = ImageEncoder(replace(config, image_channels=channels, image_width=width))
    network.load_state_dict(found)
    return network.eval()

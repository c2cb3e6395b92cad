"""Picture encoder: a compact convolutional network of ours, raw bytes in, so that scaling cannot differ in serving."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.config import FusionConfig


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ImageEncoder(nn.Module):
    """RGB bytes to vectors: five convolution blocks, then the mean and the maximum over the places, then one layer."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.image_channels
        self.blocks = nn.Sequential(
            _block(3, width, 2),
            _block(width, 2 * width, 2),
            _block(2 * width, 2 * width, 1),
            _block(2 * width, 4 * width, 2),
            _block(4 * width, 4 * width, 2),
        )
        self.head = nn.Linear(8 * width, config.image_width)
        self.width = config.image_width

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode.

        Args:
            pixels: uint8 [B, H, V, 3], RGB.

        Returns:
            float32 [B, image_width], not normalised.
        """
        scaled = pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        maps = self.blocks(scaled)
        pooled = torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), dim=-1)
        out: Tensor = self.head(pooled)
        return out

    @torch.no_grad()
    def standardise(self, vectors: Tensor) -> None:
        """Have vectors [n, width] that this encoder gave come out with mean 0 and spread 1, by folding that into the head."""
        middle = vectors.mean(0)
        spread = float((vectors - middle).std().clamp_min(1e-6))
        self.head.weight /= spread
        self.head.bias.copy_((self.head.bias - middle) / spread)

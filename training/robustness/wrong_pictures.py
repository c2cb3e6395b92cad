"""Pictures that are noisy, blurred or half hidden. Pure but for the generator; uint8 [B, H, V, 3] in and out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]


def noisy(pixels: Pixels, rng: np.random.Generator, sigma: float = 25.0) -> Pixels:
    """Gaussian noise of `sigma` grey levels on every value."""
    return np.asarray(np.clip(pixels + rng.normal(0.0, sigma, pixels.shape), 0, 255), dtype=np.uint8)


def blurred(pixels: Pixels, sigma: float = 2.0) -> Pixels:
    """A Gaussian blur of `sigma` pixels."""
    return np.asarray(ndimage.gaussian_filter(pixels, (0, sigma, sigma, 0)), dtype=np.uint8)


def occluded(pixels: Pixels, rng: np.random.Generator, share: float = 0.25) -> Pixels:
    """A grey square over this share of each picture, somewhere."""
    result = pixels.copy()
    height, width = pixels.shape[1:3]
    tall, wide = (max(1, round(side * share**0.5)) for side in (height, width))
    for row in range(len(result)):
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        result[row, top : top + tall, left : left + wide] = 128
    return result

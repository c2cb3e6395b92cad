"""Changed copies of product texts and pictures that mean the same. Pure but for the generator.

Shapes: B pictures, H height, V width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def drop_words(text: str, rng: np.random.Generator, chance: float = 0.15) -> str:
    """The text without each word with a chance; the first word stays if all would go (EDA, Wei and Zou, 2019)."""
    words = text.split()
    kept = [word for word, noise in zip(words, rng.random(len(words)), strict=True) if noise >= chance]
    return " ".join(kept or words[:1])


def mirror(pixels: Pixels, rng: np.random.Generator, chance: float = 0.5) -> Pixels:
    """Some of the pictures [B, H, V, 3] mirrored left to right."""
    turned = rng.random(len(pixels)) < chance
    return np.asarray(np.where(turned[:, None, None, None], pixels[:, :, ::-1], pixels), dtype=np.uint8)


def crop_pictures(pixels: Pixels, rng: np.random.Generator, least: float = 0.8) -> Pixels:
    """A square part of each picture [B, H, V, 3], sides of at least this share, scaled back by the nearest pixel."""
    count, height, width, _ = pixels.shape
    share = rng.uniform(least, 1.0, (count, 1))
    top, left = rng.random((2, count, 1)) * (1.0 - share)
    rows = ((top + share * (np.arange(height) + 0.5) / height) * height).astype(np.int64)
    columns = ((left + share * (np.arange(width) + 0.5) / width) * width).astype(np.int64)
    return np.asarray(pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]], dtype=np.uint8)


def jitter(pixels: Pixels, rng: np.random.Generator, strength: float = 0.2) -> Pixels:
    """Pictures [B, H, V, 3] in other light: brightness, contrast and each colour's weight vary by up to `strength`."""
    count = len(pixels)
    light, contrast = 1.0 + rng.uniform(-strength, strength, (2, count, 1, 1, 1))
    tint = 1.0 + rng.uniform(-strength, strength, (count, 1, 1, 3)) / 2
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(np.clip(((pixels - mean) * contrast + mean) * light * tint, 0, 255), dtype=np.uint8)

"""Product pictures: the same product gives the same bytes, whenever it is drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from shop.canvas import Canvas
from shop.drawings_home import HOME
from shop.drawings_leisure import LEISURE
from shop.drawings_wear import WEAR
from shop.palette import BACKGROUNDS, palette_of

SIDE = 256
DRAWINGS = WEAR | HOME | LEISURE


def draw(kind: str, colour: str, pattern: str, seed: int, side: int = SIDE) -> Image.Image:
    """One product.

    Args:
        kind: a name of `DRAWINGS`.
        colour: a name of `shop.palette.COLOURS`.
        pattern: a name of `shop.canvas.PATTERNS`.
        seed: chooses proportions, direction and background.
        side: pixels of a side.

    Returns:
        RGB picture.
    """
    rng = random.Random(seed)
    canvas = Canvas((rng.uniform(0.88, 1.02), rng.uniform(0.88, 1.0)), is_mirrored=rng.random() < 0.35)
    DRAWINGS[kind](canvas, palette_of(colour, pattern))
    return canvas.finish(rng.choice(BACKGROUNDS), side)


def contact_sheet(pictures: Sequence[Image.Image], columns: int, side: int = 128) -> Image.Image:
    """All pictures in rows, to look at."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (place % columns * side, place // columns * side))
    return sheet


def save(picture: Image.Image, path: Path) -> None:
    """Write a WebP whose bytes depend on the picture alone."""
    picture.save(path, "WEBP", quality=82, method=2)

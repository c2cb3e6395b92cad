"""A small drawing board for product pictures: filled shapes with light, patterns, outlines and a soft shadow.

Coordinates run from 0 to 100, x to the right and y downwards, whatever the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

SIDE = 448  # pixels while drawing; the picture is scaled down from here, which smooths the edges
PATTERNS = ("plain", "striped", "dotted", "checked", "gradient", "zigzag")


@dataclass(frozen=True)
class Paint:
    """A colour, a second one, and the pattern that mixes them."""

    colour: Colour
    second: Colour = (255, 255, 255)
    pattern: str = "plain"

    def plain(self) -> Paint:
        """The same colour without its pattern."""
        return replace(self, pattern="plain")

    def shade(self, factor: float) -> Paint:
        """Darker below 1, lighter above, without pattern."""
        return Paint(shaded(self.colour, factor))


def shaded(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or lighter (factor > 1) colour."""
    if factor <= 1:
        red, green, blue = (int(channel * factor) for channel in colour)
    else:
        red, green, blue = (int(255 - (255 - channel) / factor) for channel in colour)
    return red, green, blue


@lru_cache(maxsize=16)
def pattern_mix(pattern: str) -> NDArray[np.float32]:
    """Share of the second colour at each pixel, float32 [SIDE, SIDE]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) * (100.0 / SIDE)
    if pattern == "striped":
        mix = (y % 9.0) < 3.4
    elif pattern == "dotted":
        row = np.floor(y / 8.0)
        mix = ((x + 4.0 * (row % 2)) % 8.0 - 4.0) ** 2 + (y % 8.0 - 4.0) ** 2 < 4.6
    elif pattern == "checked":
        mix = 0.5 * ((x % 12.0) < 6.0) + 0.5 * ((y % 12.0) < 6.0)
    elif pattern == "gradient":
        mix = np.clip((y - 15.0) / 70.0, 0.0, 1.0) * 0.9
    elif pattern == "zigzag":
        mix = ((y + np.abs(x % 10.0 - 5.0)) % 10.0) < 3.2
    else:
        mix = np.zeros_like(x)
    return np.asarray(mix, dtype=np.float32)


def smooth_path(points: Sequence[Point], closed: bool = True, steps: int = 10) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    count = len(points)
    path: list[Point] = []
    for i in range(count if closed else count - 1):
        at = [points[(i + k) % count] if closed else points[min(max(i + k, 0), count - 1)] for k in (-1, 0, 1, 2)]
        for step in range(steps):
            t = step / steps
            weights = (
                (-t + 2 * t * t - t**3) / 2,
                (2 - 5 * t * t + 3 * t**3) / 2,
                (t + 4 * t * t - 3 * t**3) / 2,
                (t**3 - t * t) / 2,
            )
            path.append(
                (
                    sum(w * p[0] for w, p in zip(weights, at, strict=True)),
                    sum(w * p[1] for w, p in zip(weights, at, strict=True)),
                )
            )
    if not closed:
        path.append(points[-1])
    return path


class Canvas:
    """One product on a transparent layer, put before a background at the end."""

    def __init__(self, stretch: Point = (1.0, 1.0), is_mirrored: bool = False) -> None:
        self.layer = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.layer)
        self._stretch = stretch
        self._is_mirrored = is_mirrored

    def _at(self, point: Point) -> tuple[float, float]:
        """Pixels of a point."""
        x = 50.0 + (point[0] - 50.0) * self._stretch[0]
        y = 82.0 + (point[1] - 82.0) * self._stretch[1]
        return (100.0 - x if self._is_mirrored else x) * SIDE / 100.0, y * SIDE / 100.0

    def _fill(self, outline: Sequence[Point], paint: Paint, is_outlined: bool) -> None:
        pixels = [self._at(point) for point in outline]
        mask = Image.new("L", (SIDE, SIDE), 0)
        ImageDraw.Draw(mask).polygon(pixels, fill=255)
        box = mask.getbbox()
        if box is None:
            return
        left, top, right, bottom = box
        mix = pattern_mix(paint.pattern)[top:bottom, left:right, None]
        colour = np.array(paint.colour, np.float32) * (1 - mix) + np.array(paint.second, np.float32) * mix
        down = np.linspace(0, 1, bottom - top, dtype=np.float32)[:, None]
        across = np.linspace(0, 1, right - left, dtype=np.float32)[None, :]
        light = 1.13 - 0.17 * down - 0.13 * across
        texture = Image.fromarray(np.clip(colour * light[..., None], 0, 255).astype(np.uint8), "RGB").convert("RGBA")
        self.layer.paste(texture, (left, top), mask.crop(box))
        if is_outlined:
            self._draw.line([*pixels, pixels[0]], fill=(*shaded(paint.colour, 0.62), 255), width=3, joint="curve")

    def poly(self, points: Sequence[Point], paint: Paint, is_outlined: bool = True) -> None:
        """Filled polygon."""
        self._fill(points, paint, is_outlined)

    def smooth(self, points: Sequence[Point], paint: Paint, is_outlined: bool = True) -> None:
        """Filled closed curve through the points."""
        self._fill(smooth_path(points), paint, is_outlined)

    def ellipse(self, box: Box, paint: Paint, is_outlined: bool = True) -> None:
        """Filled ellipse."""
        left, top, right, bottom = box
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        centre, radius = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
        points = [(centre[0] + radius[0] * float(np.cos(a)), centre[1] + radius[1] * float(np.sin(a))) for a in angles]
        self._fill(points, paint, is_outlined)

    def box(self, box: Box, radius: float, paint: Paint, is_outlined: bool = True) -> None:
        """Filled rectangle with round corners."""
        left, top, right, bottom = box
        corners = (
            (right - radius, top + radius, -90),
            (right - radius, bottom - radius, 0),
            (left + radius, bottom - radius, 90),
            (left + radius, top + radius, 180),
        )
        points = [
            (x + radius * float(np.cos(np.radians(start + turn))), y + radius * float(np.sin(np.radians(start + turn))))
            for x, y, start in corners
            for turn in range(0, 91, 15)
        ]
        self._fill(points, paint, is_outlined)

    def line(self, points: Sequence[Point], width: float, colour: Colour, is_smooth: bool = False) -> None:
        """A stroke with round ends; width in the canvas's units."""
        path = smooth_path(points, closed=False) if is_smooth else points
        pixels = [self._at(point) for point in path]
        thick = max(1, round(width * SIDE / 100.0))
        self._draw.line(pixels, fill=(*colour, 255), width=thick, joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=(*colour, 255))

    def arc(self, box: Box, start: float, end: float, width: float, colour: Colour) -> None:
        """Part of an ellipse's line, degrees clockwise from three o'clock."""
        left, top, right, bottom = box
        centre, radius = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
        angles = np.radians(np.linspace(start, end, 40))
        points = [(centre[0] + radius[0] * float(np.cos(a)), centre[1] + radius[1] * float(np.sin(a))) for a in angles]
        self.line(points, width, colour)

    def finish(self, background: Colour, side: int) -> Image.Image:
        """The picture, RGB [side, side]: background with a floor, soft shadow, product."""
        picture = _backdrop(background).copy()
        alpha = self.layer.getchannel("A")
        small = SIDE // 4
        shadow = alpha.resize((small, small), Image.Resampling.BILINEAR)
        cast = Image.new("L", (small, small), 0)
        cast.paste(shadow.resize((small, small // 5)), (0, int(small * 0.70)))
        near = Image.new("L", (small, small), 0)
        near.paste(shadow, (int(small * 0.02), int(small * 0.025)))
        dark = Image.composite(cast, near, Image.new("L", cast.size, 128)).filter(ImageFilter.GaussianBlur(small / 26))
        dark = dark.point([int(value * 0.62) for value in range(256)]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        picture.paste(Image.new("RGB", picture.size, shaded(background, 0.35)), (0, 0), dark)
        picture.paste(self.layer, (0, 0), alpha)
        return picture.resize((side, side), Image.Resampling.LANCZOS)


@lru_cache(maxsize=32)
def _backdrop(colour: Colour) -> Image.Image:
    """Light from the upper left on a wall and a floor."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    light = 1.03 - 0.09 * np.hypot(x - 0.35, y - 0.3)
    floor = np.clip((y - 0.74) * 14.0, 0.0, 1.0) * 0.045
    rgb = np.array(colour, np.float32) * (light - floor)[..., None]
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8), "RGB")

"""Named colours and the palette that one product is drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from shop.canvas import Colour, Paint, shaded

COLOURS: dict[str, Colour] = {
    "red": (206, 52, 52),
    "orange": (235, 130, 45),
    "yellow": (243, 201, 69),
    "green": (76, 152, 84),
    "teal": (38, 145, 145),
    "blue": (52, 104, 190),
    "navy": (38, 52, 96),
    "purple": (126, 80, 168),
    "pink": (236, 138, 172),
    "brown": (132, 88, 56),
    "grey": (132, 138, 146),
    "black": (48, 48, 54),
    "white": (238, 238, 234),
    "beige": (219, 196, 160),
}
COMPLEMENTS: dict[str, str] = {
    "red": "white", "orange": "navy", "yellow": "grey", "green": "beige", "teal": "orange", "blue": "white", "navy": "yellow",
    "purple": "pink", "pink": "white", "brown": "beige", "grey": "blue", "black": "white", "white": "blue", "beige": "brown",
}  # fmt: skip
BACKGROUNDS: tuple[Colour, ...] = (
    (244, 241, 236), (235, 241, 245), (243, 236, 240), (237, 243, 234), (246, 240, 226), (236, 236, 243),
)  # fmt: skip

WHITE = Paint((246, 246, 243))
CREAM = Paint((236, 224, 200))
BLACK = Paint((42, 42, 48))
BROWN = Paint((122, 82, 52))
WOOD = Paint((186, 138, 88))
METAL = Paint((188, 193, 201))
GLASS = Paint((74, 92, 108))
SKY = Paint((150, 196, 226))
LEAF = Paint((84, 150, 78))
CLAY = Paint((196, 108, 74))
GOLD = Paint((226, 182, 82))


@dataclass(frozen=True)
class Palette:
    """Paints of one product: `main` carries the pattern."""

    main: Paint
    accent: Paint
    dark: Paint


def palette_of(colour: str, pattern: str) -> Palette:
    """The palette of a named colour and a pattern."""
    rgb, second = COLOURS[colour], COLOURS[COMPLEMENTS[colour]]
    return Palette(main=Paint(rgb, second, pattern), accent=Paint(second), dark=Paint(shaded(rgb, 0.66)))

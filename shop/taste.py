"""What shoppers like: weights over departments, types, colours, patterns, styles, brands, price and hidden collections."""
# ruff: noqa: E501 - one persona, one line

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shop.canvas import PATTERNS
from shop.catalog import COLLECTIONS, Product
from shop.kinds import BRANDS, KINDS, STYLES
from shop.palette import COLOURS

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

DEPARTMENTS: tuple[str, ...] = tuple(dict.fromkeys(kind.department for kind in KINDS))
_KIND_ROW = {kind.drawing: row for row, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Shelf:
    """The products as columns [n], for fast choices.

    Attributes:
        item_ids: by row.
        dearness: log of price over the type's usual price.
        appeal: what everybody likes, from the number of ratings.
        is_open: rows that can be bought now.
    """

    item_ids: tuple[str, ...]
    rows: dict[str, int]
    kind: Codes
    department: Codes
    colour: Codes
    pattern: Codes
    style: Codes
    brand: Codes
    collection: Codes
    dearness: Floats
    appeal: Floats
    price: Floats
    is_new: NDArray[np.bool_]
    is_open: NDArray[np.bool_]


def shelf_of(goods: Sequence[Product]) -> Shelf:
    """Columns of the products, in their order."""
    colours, styles = list(COLOURS), [style.name for style in STYLES]
    brands = [brand.name for brand in BRANDS]

    def codes(values: list[int]) -> Codes:
        return np.array(values, dtype=np.int64)

    return Shelf(
        item_ids=tuple(item.item_id for item in goods),
        rows={item.item_id: row for row, item in enumerate(goods)},
        kind=codes([_KIND_ROW[item.kind.drawing] for item in goods]),
        department=codes([DEPARTMENTS.index(item.kind.department) for item in goods]),
        colour=codes([colours.index(item.colour) for item in goods]),
        pattern=codes([PATTERNS.index(item.pattern) for item in goods]),
        style=codes([styles.index(item.style.name) for item in goods]),
        brand=codes([brands.index(item.brand.name) for item in goods]),
        collection=codes([item.collection for item in goods]),
        dearness=np.array([np.log(item.price / item.kind.price) for item in goods]),
        appeal=np.array([np.log1p(item.rating_count) for item in goods]),
        price=np.array([item.price for item in goods]),
        is_new=np.array([item.is_new for item in goods]),
        is_open=np.array([item.stock > 0 for item in goods]),
    )


@dataclass(frozen=True)
class Persona:
    """A kind of shopper: favourite types of product, styles, and how dear things may be (0 usual, negative cheap)."""

    name: str
    kinds: tuple[str, ...]
    styles: tuple[str, ...]
    dearness: float


PERSONAS: tuple[Persona, ...] = (
    Persona("student", ("laptop", "backpack", "notebook", "pencil", "hoodie", "mug", "headphones"), ("sporty", "playful"), -0.35),
    Persona("runner", ("running_shoe", "t_shirt", "bottle", "watch", "cap", "yoga_mat"), ("sporty", "minimal"), 0.1),
    Persona("new parent", ("pram", "baby_bottle", "teddy_bear", "rubber_duck", "building_blocks", "mug"), ("natural", "playful"), 0.0),
    Persona("designer", ("lamp", "chair", "vase", "clock", "sofa", "camera", "notebook"), ("minimal", "vintage"), 0.35),
    Persona("cook", ("pan", "knife", "kettle", "mug", "potted_plant", "bottle"), ("classic", "natural"), 0.15),
    Persona("gamer", ("game_controller", "handheld_console", "keyboard", "headphones", "hoodie", "puzzle"), ("playful", "sporty"), 0.0),
    Persona("gardener", ("watering_can", "garden_fork", "potted_plant", "cactus", "lantern", "boot"), ("natural", "classic"), -0.05),
    Persona("fashionista", ("dress", "pump", "handbag", "necklace", "sunglasses", "ring"), ("romantic", "classic"), 0.35),
    Persona("commuter", ("bicycle", "backpack", "umbrella", "headphones", "phone", "trousers"), ("minimal", "sporty"), 0.05),
    Persona("home maker", ("cushion", "bed", "sofa", "vase", "lantern", "lamp"), ("romantic", "vintage"), -0.1),
    Persona("musician", ("guitar", "speaker", "headphones", "notebook", "boot"), ("vintage", "classic"), 0.1),
    Persona("grandparent", ("toy_car", "teddy_bear", "puzzle", "book", "building_blocks", "watch"), ("classic", "playful"), 0.1),
    Persona("athlete", ("dumbbell", "tennis_racket", "football", "yoga_mat", "running_shoe", "bottle"), ("sporty", "minimal"), 0.1),
    Persona("reader", ("book", "lamp", "mug", "chair", "notebook", "cushion"), ("natural", "romantic"), -0.1),
)  # fmt: skip


@dataclass(frozen=True)
class Taste:
    """One shopper's lasting preferences as log-weights by code."""

    persona: Persona
    kind: Floats
    colour: Floats
    pattern: Floats
    style: Floats
    brand: Floats
    collection: Floats
    dearness: float
    pickiness: float

    def utility(self, shelf: Shelf) -> Floats:
        """How much the shopper likes each product [n], but for what is looked for right now."""
        return np.asarray(
            self.colour[shelf.colour]
            + self.pattern[shelf.pattern]
            + self.style[shelf.style]
            + self.brand[shelf.brand]
            + self.collection[shelf.collection]
            - self.pickiness * np.abs(shelf.dearness - self.dearness)
            + 0.22 * shelf.appeal
        )


def draw_taste(rng: np.random.Generator) -> Taste:
    """A shopper's taste: a persona with habits of its own."""
    persona = PERSONAS[int(rng.integers(len(PERSONAS)))]
    kind = np.full(len(KINDS), -2.5) + rng.normal(0, 0.7, len(KINDS))
    for drawing in persona.kinds:
        kind[_KIND_ROW[drawing]] += 3.0
    styles = np.array([0.9 if style.name in persona.styles else -0.3 for style in STYLES])
    collection = np.full(COLLECTIONS, -0.25)
    collection[rng.choice(COLLECTIONS, 4, replace=False)] = 1.6
    return Taste(
        persona=persona,
        kind=kind,
        colour=rng.normal(0, 0.75, len(COLOURS)),
        pattern=rng.normal(0, 0.45, len(PATTERNS)),
        style=styles + rng.normal(0, 0.3, len(STYLES)),
        brand=rng.normal(0, 0.35, len(BRANDS)),
        collection=collection,
        dearness=persona.dearness + float(rng.normal(0, 0.15)),
        pickiness=float(rng.uniform(0.6, 1.8)),
    )


def kind_row(drawing: str) -> int:
    """Code of a type of product."""
    return _KIND_ROW[drawing]

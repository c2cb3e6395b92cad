"""The demo shop's catalogue: generated from a seed, the same on every machine."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from contracts.catalog import Attribute, CatalogItem, Image, Rating
from shop.kinds import BRANDS, KINDS, STYLES, Brand, Kind, Style
from shop.palette import COLOURS
from shop.pictures import SIDE, draw, save

SEED = 7
PER_KIND = 28
NEW_SHARE = 0.05  # newly arrived: nobody has seen or rated them yet
COLLECTIONS = 48  # hidden from texts and pictures: what some shoppers know belongs together
DRAWN_WITH = "1"  # raise when the drawings change, so that pictures on disk are drawn anew
_UPDATED_MS = 1_790_000_000_000
_STAMP = "drawn-with"


@dataclass(frozen=True)
class Product:
    """One product with everything that was drawn for it, also what texts and pictures do not tell (`collection`)."""

    item_id: str
    kind: Kind
    style: Style
    brand: Brand
    colour: str
    pattern: str
    material: str
    price: float
    original_price: float
    stock: int
    rating_count: int
    average_rating: float
    collection: int
    is_new: bool
    seed: int

    @property
    def category(self) -> str:
        """Full path, `Department > Type`."""
        return f"{self.kind.department} > {self.kind.category}"


def products(seed: int = SEED, per_kind: int = PER_KIND) -> tuple[Product, ...]:
    """All products, in a fixed order."""
    rng = random.Random(seed)
    return tuple(_product(rng, kind, number) for kind in KINDS for number in range(1, per_kind + 1))


def _product(rng: random.Random, kind: Kind, number: int) -> Product:
    brand = rng.choice(BRANDS)
    style = next(style for style in STYLES if style.name == brand.style)
    is_typical = rng.random() < 0.8
    colour = rng.choice(style.colours) if is_typical else rng.choice(tuple(COLOURS))
    price = kind.price * brand.tier * rng.lognormvariate(0.0, 0.22)
    price = max(round(price) - 0.05, 1.95) if price > 10 else round(price, 1)
    is_new = rng.random() < NEW_SHARE
    return Product(
        item_id=f"{kind.drawing.replace('_', '-')}-{number:03d}",
        kind=kind,
        style=style,
        brand=brand,
        colour=colour,
        pattern=rng.choice(style.patterns),
        material=rng.choice(kind.materials),
        price=round(price, 2),
        original_price=round(price * rng.uniform(1.1, 1.45), 2) if rng.random() < 0.15 else round(price, 2),
        stock=0 if rng.random() < 0.03 else int(rng.lognormvariate(3.4, 1.0)) + 1,
        rating_count=0 if is_new else min(int(rng.paretovariate(0.9) * 4), 6000),
        average_rating=round(min(max(rng.gauss(4.1, 0.45), 1.5), 5.0), 1),
        collection=rng.randrange(COLLECTIONS),
        is_new=is_new,
        seed=rng.getrandbits(32),
    )


def _title(product: Product, rng: random.Random) -> str:
    """Not every title names colour, pattern and style: then only the picture tells."""
    words = [product.brand.name]
    if rng.random() < 0.35:
        words.append(product.style.name)
    if product.pattern not in {"plain", "gradient"} and rng.random() < 0.5:
        words.append(product.pattern)
    if rng.random() < 0.55:
        words.append(product.colour)
    if rng.random() < 0.5:
        words.append(product.material)
    return " ".join([*words, product.kind.title])


def _description(product: Product, rng: random.Random) -> str:
    sentences = [f"A {product.kind.title} for {product.kind.use}."]
    if rng.random() < 0.6:
        sentences.append(f"Made of {product.material}.")
    if rng.random() < 0.5:
        sentences.append(f"{product.style.mood.capitalize()}.")
    if product.is_new:
        sentences.append("New in the shop.")
    return " ".join(sentences)


def catalog_item(product: Product, images: Path) -> CatalogItem:
    """The product as the shop publishes it.

    Args:
        product: one of :func:`products`.
        images: absolute folder of the pictures.
    """
    rng = random.Random(product.seed)
    is_rated = product.rating_count > 0
    return CatalogItem(
        item_id=product.item_id,
        title=_title(product, rng),
        description=_description(product, rng),
        categories=(product.category,),
        brands=(product.brand.name,),
        price=product.price,
        original_price=product.original_price,
        cost=round(product.price * 0.62, 2),
        currency="EUR",
        availability="IN_STOCK" if product.stock else "OUT_OF_STOCK",
        available_quantity=product.stock,
        images=(Image(uri=picture_path(product.item_id, images).as_uri(), width=SIDE, height=SIDE),),
        uri=f"/p/{product.item_id}",
        language_code="en",
        tags=("new",) if product.is_new else (),
        attributes={
            "style": Attribute(text=(product.style.name,)),
            "pattern": Attribute(text=(product.pattern,)),
            "picture": Attribute(text=(f"/images/{product.item_id}.webp",)),
        },
        color_families=(product.colour,),
        materials=(product.material,),
        rating=Rating(average_rating=product.average_rating if is_rated else 0.0, rating_count=product.rating_count),
        updated_time=_UPDATED_MS,
    )


def catalog(images: Path, seed: int = SEED, per_kind: int = PER_KIND) -> list[CatalogItem]:
    """All products as catalogue items; `images` is the absolute folder that :func:`draw_pictures` fills."""
    return [catalog_item(product, images) for product in products(seed, per_kind)]


def picture_path(item_id: str, images: Path) -> Path:
    """Where the picture of an item is."""
    return images / f"{item_id}.webp"


def _draw_one(work: tuple[str, str, str, int, Path]) -> None:
    kind, colour, pattern, seed, path = work
    save(draw(kind, colour, pattern, seed), path)


def draw_pictures(goods: Sequence[Product], images: Path, processes: int = 2) -> Iterator[int]:
    """Draw what is missing into `images`; pictures of other drawings or another catalogue are drawn anew.

    Args:
        goods: the products.
        images: created if missing.
        processes: how many draw at a time.

    Yields:
        The number of pictures that are there, from what was there at first to `len(goods)`.
    """
    images.mkdir(parents=True, exist_ok=True)
    stamp = images / _STAMP
    edition = f"{DRAWN_WITH} {hash_of(goods)}"
    is_current = stamp.exists() and stamp.read_text(encoding="utf-8") == edition
    work = [
        (item.kind.drawing, item.colour, item.pattern, item.seed, picture_path(item.item_id, images))
        for item in goods
        if not (is_current and picture_path(item.item_id, images).exists())
    ]
    done = len(goods) - len(work)
    yield done
    if not work:
        return
    stamp.unlink(missing_ok=True)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_draw_one, work, chunksize=32):
            done += 1
            yield done
    stamp.write_text(edition, encoding="utf-8")


def hash_of(goods: Sequence[Product]) -> str:
    """A number that changes with anything that shows in a picture; the same in every process."""
    total = 0
    for item in goods:
        for byte in f"{item.item_id}{item.colour}{item.pattern}{item.seed}".encode():
            total = (total * 31 + byte) % (1 << 61)
    return str(total)

"""The demo shop: the same on every machine, and pictures that look like what they are."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.catalog import decode_item, encode
from shop.canvas import PATTERNS
from shop.catalog import PER_KIND, catalog, draw_pictures, picture_path, products
from shop.kinds import BRANDS, KINDS, STYLES
from shop.palette import COLOURS
from shop.pictures import DRAWINGS, SIDE, draw, save


def silhouette(picture: Image.Image) -> np.ndarray:
    """Where the product is, roughly: what differs from the picture's own corners; bool [64, 64]."""
    pixels = np.asarray(picture.resize((64, 64)), dtype=np.float32)
    outline: np.ndarray = np.abs(pixels - pixels[1, 1]).max(axis=-1) > 40
    return outline


def test_the_shop_has_at_least_1500_products_in_at_least_twelve_departments() -> None:
    goods = products()
    assert len(goods) >= 1500
    assert len({item.kind.department for item in goods}) >= 12
    assert len({item.item_id for item in goods}) == len(goods)


def test_the_same_seed_gives_the_same_catalogue_and_another_seed_another() -> None:
    images = Path("/pictures")
    assert [encode(item) for item in catalog(images)] == [encode(item) for item in catalog(images)]
    assert catalog(images, seed=8) != catalog(images, seed=7)


def test_every_item_passes_the_contract_and_names_its_picture() -> None:
    for item in catalog(Path("/pictures"), per_kind=4):
        again = decode_item(encode(item))
        assert again == item
        assert again.currency == "EUR"
        assert again.price is not None
        assert again.price > 0
        assert again.images[0].uri == f"file:///pictures/{item.item_id}.webp"
        assert " > " in again.categories[0]


def test_popularity_has_a_long_tail_and_new_items_have_no_ratings() -> None:
    counts = np.array([item.rating_count for item in products()])
    assert np.median(counts) * 10 < np.sort(counts)[-20]
    assert all(item.rating_count == 0 for item in products() if item.is_new)
    assert 0.02 < np.mean([item.is_new for item in products()]) < 0.1


def test_kinds_styles_and_brands_refer_to_what_exists() -> None:
    drawings = {kind.drawing for kind in KINDS}
    assert drawings == set(DRAWINGS)
    assert all(set(kind.goes_with) <= drawings for kind in KINDS)
    assert all(set(style.colours) <= set(COLOURS) and set(style.patterns) <= set(PATTERNS) for style in STYLES)
    assert {brand.style for brand in BRANDS} <= {style.name for style in STYLES}
    assert PER_KIND * len(KINDS) == len(products())


@pytest.mark.parametrize("kind", sorted(DRAWINGS))
def test_every_type_draws_a_picture_that_fills_the_frame_and_repeats_bit_for_bit(kind: str) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    picture = draw(kind, "red", "plain", seed=3)
    picture.save(first, "PNG")
    draw(kind, "red", "plain", seed=3).save(second, "PNG")
    assert first.getvalue() == second.getvalue()
    assert picture.size == (SIDE, SIDE)
    assert 0.04 < silhouette(picture).mean() < 0.85


def test_types_differ_in_their_silhouettes_more_than_colours_of_one_type_do() -> None:
    red = {kind: silhouette(draw(kind, "red", "plain", seed=3)) for kind in DRAWINGS}
    blue = {kind: silhouette(draw(kind, "navy", "plain", seed=3)) for kind in DRAWINGS}
    matches = 0
    for kind, shape in red.items():
        overlap = {other: (shape & mask).sum() / (shape | mask).sum() for other, mask in blue.items()}
        matches += max(overlap, key=lambda other: overlap[other]) == kind
    assert matches >= 0.9 * len(DRAWINGS)


def test_colour_and_pattern_show_in_the_picture() -> None:
    plain, striped = (np.asarray(draw("t_shirt", "red", pattern, 3), dtype=np.float32) for pattern in ("plain", "striped"))
    blue = np.asarray(draw("t_shirt", "blue", "plain", 3), dtype=np.float32)
    centre = (slice(110, 180), slice(100, 150))
    assert plain[centre][..., 0].mean() > plain[centre][..., 2].mean() + 80
    assert blue[centre][..., 2].mean() > blue[centre][..., 0].mean() + 80
    assert striped[centre][..., 1].std() > 3 * plain[centre][..., 1].std()


def test_pictures_are_drawn_once_and_again_only_if_missing(tmp_path: Path) -> None:
    goods = products(per_kind=1)[:6]
    assert list(draw_pictures(goods, tmp_path, processes=1))[-1] == 6
    paths = [picture_path(item.item_id, tmp_path) for item in goods]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert all(Image.open(path).size == (SIDE, SIDE) for path in paths)
    assert list(draw_pictures(goods, tmp_path)) == [6]
    paths[2].unlink()
    assert list(draw_pictures(goods, tmp_path, processes=1)) == [5, 6]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == before


def test_a_saved_picture_can_be_read_and_is_small(tmp_path: Path) -> None:
    save(draw("sofa", "green", "checked", 5), tmp_path / "sofa.webp")
    assert (tmp_path / "sofa.webp").stat().st_size < 20_000
    assert Image.open(tmp_path / "sofa.webp").convert("RGB").size == (SIDE, SIDE)

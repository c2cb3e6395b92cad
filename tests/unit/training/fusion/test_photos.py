"""Titles without the words of what is asked, other views, and that two kinds of evidence beat one on data made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.config import FusionConfig
from fusion.vision import open_image_encoder
from training.demo_pictures import PictureRecipe
from training.fusion.fashion import verdict
from training.fusion.heads import HeadRecipe, View, found, label, search
from training.fusion.photos import cropped, half, stripped
from training.fusion.towers import TowerRecipe, save, train_tower

PARTS = {"train": np.arange(0, 400), "validation": np.arange(400, 500), "test": np.arange(500, 700)}


@pytest.mark.parametrize(
    ("title", "names", "wanted"),
    [
        ("Turtle Check Men Navy Blue Shirt", ("Shirts", "Navy Blue"), "Turtle Check"),
        ("United Colors of Benetton Women Printed Grey T-shirt", ("Tshirts", "Grey"), "United Colors of Benetton Printed"),
        ("Nike Kids' Black Socks", ("Socks", "Black"), "Nike"),
        ("CASIO G-Shock Men Black Watch G-7710", ("Watches", "Black"), "CASIO G-Shock G-7710"),
    ],
)
def test_a_title_loses_the_words_of_type_colour_and_gender(title: str, names: tuple[str, str], wanted: str) -> None:
    assert stripped(title, names) == wanted


def test_half_a_title_is_a_part_of_it_and_the_same_each_time() -> None:
    kept = half("a b c d e f", "7")
    assert kept == half("a b c d e f", "7")
    assert len(kept.split()) == 3
    assert sorted(kept.split()) == kept.split()
    assert half("", "7") == ""


def test_a_crop_shows_a_part_of_the_photo_in_other_light() -> None:
    photo = torch.zeros(40, 16, 16, 3, dtype=torch.uint8)
    photo[:, :, :, 0] = 120
    photo[:, :8, :, 1] = 200
    seen = cropped(photo, torch.Generator().manual_seed(1))
    assert seen.shape == photo.shape
    assert not seen[..., 2].any()
    light = seen[:, 8, 8, 0].to(torch.float32) / 120
    assert 0.69 < light.min() < 0.8
    assert 1.2 < light.max() < 1.31
    assert len({int((row[..., 1] > 0).sum()) for row in seen}) > 10, "crops differ in what they show"


def products() -> tuple[View, dict[str, np.ndarray]]:
    """Labels of which the text says one half and the picture the other."""
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 4, (2, 700))
    text, image = (torch.from_numpy(np.eye(4, dtype=np.float32)[half]) for half in (first, second))
    noise = torch.from_numpy(rng.standard_normal((700, 4)).astype(np.float32)) * 0.1
    return View(text + noise, image + noise), {"both": (4 * first + second).astype(np.int64)}


def test_text_and_picture_together_answer_what_neither_can() -> None:
    view, labels = products()
    recipe = HeadRecipe(dim=16, epochs=10, batch=64, learning_rate=1e-2, modality_dropout=0.0)
    reached = {
        evidence: label([view], view, labels, PARTS, evidence, recipe)["both"]["accuracy"]
        for evidence in ("text", "image", "text+image")
    }
    assert reached["text+image"] > 0.9
    assert max(reached["text"], reached["image"]) < 0.45
    shelf = torch.cat((view.text, view.image), dim=-1)
    together = search([view], view, shelf, PARTS, "text+image", recipe)
    assert together["MRR"] > search([view], view, shelf, PARTS, "text", recipe)["MRR"] + 0.05


def test_what_looks_the_same_on_the_shelf_ties() -> None:
    assert found(np.ones((3, 3), np.float32)) == {"Recall@1": 0.0, "Recall@10": 1.0, "MRR": 0.5}
    assert found(np.eye(3, dtype=np.float32))["Recall@1"] == 1.0


def test_both_must_beat_the_better_one_alone() -> None:
    names = ("article type", "base colour", "gender")
    table = {name: {"text": {"accuracy": 0.5}, "image": {"accuracy": 0.6}, "text+image": {"accuracy": 0.7}} for name in names}
    table["gender"]["text+image"]["accuracy"] = 0.6
    table |= {
        name: {"text": {"MRR": 0.1}, "image": {"MRR": 0.2}, "text+image": {"MRR": 0.15}}
        for name in ("title → image", "image → title")
    }
    assert verdict(table) == {
        "article type": True,
        "base colour": True,
        "gender": False,
        "title → image": False,
        "image → title": False,
    }


def stop_at(share: float) -> Callable[[float], None]:
    """A tick that ends the training at some share of it."""

    def tick(done: float) -> None:
        if done > share:
            raise KeyboardInterrupt

    return tick


def test_the_picture_tower_learns_from_titles_goes_on_after_a_kill_and_its_folder_is_a_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 8, 256)
    palette = rng.integers(0, 256, (8, 3))
    pixels = np.clip(palette[colour][:, None, None] + rng.integers(-20, 20, (256, 16, 16, 3)), 0, 255).astype(np.uint8)
    titles = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((8, 12)).astype(np.float32)), dim=-1)[colour]
    sizes = FusionConfig(image_size=16, image_channels=8, image_width=16)
    recipe = TowerRecipe(sizes, PictureRecipe(epochs=6, batch=32, learning_rate=5e-3))
    parts = {"train": np.arange(192), "test": np.arange(192, 256)}
    with pytest.raises(KeyboardInterrupt):
        train_tower(pixels, titles, parts, recipe, stop_at(0.6), tmp_path / "resume.pt")
    network, figures = train_tower(pixels, titles, parts, recipe, lambda _: None, tmp_path / "resume.pt")
    assert len(figures["losses"]) == 6
    before, after = figures["before"]["title → image"]["MRR"], figures["after"]["title → image"]["MRR"]
    assert after > 1.5 * before
    save(network, tmp_path / "tower")
    again = open_image_encoder(str(tmp_path / "tower"), FusionConfig())
    with torch.no_grad():
        torch.testing.assert_close(again(torch.from_numpy(pixels[:4])), network(torch.from_numpy(pixels[:4])))

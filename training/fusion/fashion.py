"""The table for products with photo and title: text alone, picture alone, and both."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.config import FusionConfig
from fusion.image import ImageEncoder
from fusion.vision import open_image_encoder
from training.demo_pictures import encode_pictures
from training.fusion.heads import EVIDENCE, HeadRecipe, View, label, search
from training.fusion.photos import PARTS, Products, cropped, read, texts
from training.fusion.towers import TowerRecipe, save, train_tower
from training.sessions.encoder_training import Tick, silent

Figures = dict[str, Any]
Pixels = NDArray[np.uint8]
VIEWS = 2
SEEDS = 3
TASKS = {"articleType": "article type", "baseColour": "base colour", "gender": "gender"}
JUDGED = {**dict.fromkeys(TASKS.values(), "accuracy"), "title → image": "MRR", "image → title": "MRR"}
"""The five tasks and the measure by which both is compared with one."""


def crops(pixels: Pixels, seed: int, batch: int = 512) -> Pixels:
    """Another view of each photo, uint8 [N, S, S, 3]; always the same for a seed."""
    draw = torch.Generator().manual_seed(seed)
    parts = [cropped(torch.from_numpy(pixels[start : start + batch]), draw) for start in range(0, len(pixels), batch)]
    return torch.cat(parts).numpy()


def tower(products: Products, titles: Tensor, folder: Path, recipe: TowerRecipe, tick: Tick) -> tuple[ImageEncoder, Figures]:
    """The picture tower in a folder and its measures; trained first if there is none."""
    figures = folder / "figures.json"
    if figures.exists():
        network = open_image_encoder(str(folder), FusionConfig())
        if isinstance(network, ImageEncoder):
            return network, json.loads(figures.read_text(encoding="utf-8"))
    parts = {name: products.part(name) for name in PARTS}
    began = time.perf_counter()
    network, found = train_tower(
        products.pixels, titles, parts, recipe, lambda share: tick("picture tower", share, ""), folder / "resume.pt"
    )
    found["minutes"] = round((time.perf_counter() - began) / 60, 2)
    save(network, folder)
    figures.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return network, found


@dataclass(frozen=True)
class Views:
    """All that the tasks look at, by the frozen towers: each a tensor [N, W]."""

    title: Tensor
    photo: Tensor
    partial: tuple[Tensor, ...]
    crops: tuple[Tensor, ...]


def look(products: Products, network: ImageEncoder, cache: Path, tick: Tick) -> Views:
    """Encode titles and photos and their other views, the first of which is judged and teaches nothing; from the cache."""

    def say(lines: Sequence[str], stage: str) -> Tensor:
        return texts(lines, cache, tick=lambda share: tick(stage, share, ""))

    title = say(products.bare, "titles")
    partial = tuple(say(lines, "halves of titles") for lines in products.partial)
    photo = encode_pictures(network, products.pixels[:1])
    stamp = zlib.crc32(photo.numpy().tobytes(), zlib.crc32("\n".join(products.ids).encode()))
    seen = []
    for view in range(VIEWS + 2):
        file = cache / f"views-{stamp:08x}-{view}.npy"
        if not file.exists():
            pixels = products.pixels if view > VIEWS else crops(products.pixels, 100 + view)
            np.save(file.with_suffix(".part.npy"), encode_pictures(network, pixels).numpy(), allow_pickle=False)
            file.with_suffix(".part.npy").replace(file)
        seen.append(torch.from_numpy(np.load(file, allow_pickle=False)))
        tick("views of photos", (view + 1) / (VIEWS + 2), "")
    return Views(title, seen[-1], partial, tuple(seen[:-1]))


def compare(products: Products, views: Views, recipe: HeadRecipe, seeds: int = SEEDS, tick: Tick = silent) -> Figures:
    """Each task by text, by picture and by both, means over the seeds.

    Labels: the title without the words of what is asked, the photo, or both. Title → image: all photos of the test part are
    on the shelf, and in hand is the title, a part of the photo in other light, or both. Image → title: all titles are on
    the shelf, and in hand is the photo, half of the title's words, or both.
    """
    parts = {name: products.part(name) for name in PARTS}
    labels = {title: products.labels[name] for name, title in TASKS.items()}
    clean = View(views.title, views.photo)
    by_title = [View(views.title, seen) for seen in views.crops]
    by_photo = [View(half, views.photo) for half in views.partial]
    runs: dict[str, list[Figures]] = {name: [] for name in EVIDENCE}
    for done, (seed, evidence) in enumerate(product(range(seeds), EVIDENCE)):
        chosen = replace(recipe, seed=seed)
        found: Figures = label([clean], clean, labels, parts, evidence, chosen)
        found["title → image"] = search(by_title[1:], by_title[0], views.photo, parts, evidence, chosen)
        found["image → title"] = search(by_photo[1:], by_photo[0], views.title, parts, evidence, chosen)
        runs[evidence].append(found)
        tick("text, picture, both", (done + 1) / (seeds * len(EVIDENCE)), evidence)
    return {task: {evidence: _mean([run[task] for run in made]) for evidence, made in runs.items()} for task in JUDGED}


def _mean(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}


def verdict(table: Figures) -> dict[str, bool]:
    """By task, whether both together are better than the better one alone."""
    return {
        task: table[task]["text+image"][measure] > max(table[task][alone][measure] for alone in ("text", "image"))
        for task, measure in JUDGED.items()
    }


def run(data: Path, folder: Path, tower_recipe: TowerRecipe, recipe: HeadRecipe, tick: Tick = silent) -> Figures:
    """The whole table from a folder of products.

    Args:
        data: see :func:`training.fusion.photos.read`.
        folder: of caches and of the picture tower.
        tower_recipe: of the picture tower.
        recipe: of the heads.
        tick: told how far each stage is.
    """
    products = read(data, folder, VIEWS + 1, lambda share: tick("photos", share, ""))
    titles = texts(products.titles, folder, tick=lambda share: tick("whole titles", share, ""))
    sizes = tower_recipe.sizes
    name = f"tower-{sizes.image_channels}-{sizes.image_width}-{tower_recipe.pictures.epochs}-{tower_recipe.seed}"
    network, learned = tower(products, titles, folder / name, tower_recipe, tick)
    table = compare(products, look(products, network, folder, tick), recipe, tick=tick)
    return {
        "products": {name: len(products.part(name)) for name in PARTS},
        "classes": {TASKS[name]: len(classes) for name, classes in products.classes.items()},
        "seeds of the heads": SEEDS,
        "picture tower": learned,
        "tasks": table,
        "judged by": JUDGED,
        "both better than either": verdict(table),
    }

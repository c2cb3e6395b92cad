"""One fine-tuning from catalogue to report: towers opened, trained, merged, saved; figures before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from contracts.errors import ConfigurationError
from training.distributed import World
from training.finetune import heads
from training.finetune.data import PARTS, Items
from training.finetune.figures import assess
from training.finetune.heads import About
from training.finetune.loop import finetune
from training.finetune.model import Classifier
from training.finetune.recipe import Recipe
from training.finetune.towers import TextTower, Tower, open_pictures, save
from training.folders import alone_in
from training.tracking.port import Silent, Tracker

SIDE = 64
"""Pixels of a photo's side that our compact picture network was trained with."""


@dataclass(frozen=True)
class Bases:
    """What is tuned.

    Attributes:
        text_encoder: `minilm`, a Hugging Face name or a folder.
        image_encoder: a folder with an artefact or a tuned tower of ours, a Hugging Face vision model's folder or name.
        side: S, pixels of a photo's side.
    """

    text_encoder: str
    image_encoder: str
    side: int = SIDE


def open_towers(which: str, bases: Bases) -> dict[str, Tower]:
    """The towers `text`, `image` or `both`, untrained beyond their pretraining.

    Raises:
        ConfigurationError: if one cannot be loaded.
    """
    towers: dict[str, Tower] = {}
    if which in {"text", "both"}:
        towers["text"] = TextTower(bases.text_encoder)
    if which in {"image", "both"}:
        towers["image"] = open_pictures(bases.image_encoder)
    return towers


def run(
    items: Items, bases: Bases, recipe: Recipe, folder: Path, tracker: Tracker | None = None, world: World | None = None
) -> tuple[Classifier, dict[str, Any]]:
    """Fine-tune and measure.

    Args:
        items: labelled ones, with photos if a picture tower is wanted.
        bases: what is tuned.
        recipe: how.
        folder: gets the checkpoints, `heads/last.safetensors`, and in the modes full and lora the merged towers as
            `text/` and `image/`.
        tracker: told settings and figures.
        world: the processes that train together.

    Returns:
        The model with merged towers, and its figures: `before` and `after` on the test part as :func:`assess` gives them,
        the learning curve, trainable and all parameters, minutes, recipe.

    Raises:
        ConfigurationError: see :func:`training.finetune.loop.finetune`, or another training is at work in the folder.
    """
    tracker, world = tracker or Silent(), world or World()
    torch.manual_seed(recipe.seed)
    model = Classifier(open_towers(recipe.towers, bases), len(items.classes), recipe).to(world.device)
    model.read(items)
    counts = {
        "trainable": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    tracker.settings({"task": items.task, **asdict(recipe), **asdict(bases), **counts})
    with alone_in(folder, writes=world.writes):
        progress = finetune(model, items, recipe, folder, tracker, world)
    adapters = {name: weight.detach().clone() for name, weight in model.trained().items()}
    test = items.part("test")
    model.merge()
    after = assess(model.predict(test, world), items, test)
    if world.writes:
        _keep(model, adapters, items, bases, recipe, folder)
    world.wait()
    return model, {
        "task": items.task,
        "items": {name: len(items.part(name)) for name in PARTS},
        "classes": len(items.classes),
        "left_out": items.left_out,
        "before": progress.before,
        "after": after,
        "curve": progress.curve,
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        **counts,
        "minutes": progress.seconds / 60,
        "processor_minutes": progress.processor_seconds / 60,
        "processes": world.size,
        "recipe": asdict(recipe),
        "bases": asdict(bases),
    }


def _keep(
    model: Classifier, adapters: Mapping[str, torch.Tensor], items: Items, bases: Bases, recipe: Recipe, folder: Path
) -> None:
    """Write the merged towers, and the head with what it needs: adapters, or the names of the tuned towers."""
    if recipe.mode != "frozen":
        for name, tower in model.towers.items():
            save(cast("Tower", tower), folder / name)
    if recipe.mode == "full":
        tuned = {f"{name}_encoder": str((folder / name).resolve()) for name in model.towers}
        bases = replace(bases, **cast("Any", tuned))
    rank = recipe.rank if recipe.mode == "lora" else 0
    about = About(items.task, items.classes, recipe.towers, recipe.mode, rank, **asdict(bases))
    head = {f"head.{name}": tensor for name, tensor in model.head.state_dict().items()}
    heads.save(folder / "heads", "last", about, dict(adapters) if rank else head)


def reopened(about: About, tensors: Mapping[str, torch.Tensor], items: Items) -> Classifier:
    """A head by what its file holds, over its towers, adapters merged, ready to answer for some items."""
    recipe = Recipe(
        mode="lora" if about.rank else "frozen", towers=cast("Any", about.towers), rank=about.rank or 8, dropout=0.0
    )
    bases = Bases(about.text_encoder, about.image_encoder, about.side)
    model = Classifier(open_towers(about.towers, bases), len(about.classes), recipe)
    own = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
    model.head.load_state_dict(own)
    if about.rank:
        model.restore(tensors)
    model.merge()
    model.read(items)
    return model.eval()


def answers(
    about: About, tensors: Mapping[str, torch.Tensor], titles: tuple[str, ...], best: int
) -> list[list[tuple[str, float]]]:
    """The likeliest classes of titles, with their probability.

    Raises:
        ConfigurationError: if the head reads photos alone.
    """
    if about.towers == "image":
        message = f"--head: the head for {about.task} reads photos alone and cannot judge a title"
        raise ConfigurationError(message)
    empty = np.zeros((len(titles), about.side, about.side, 3), dtype=np.uint8) if about.towers == "both" else None
    unknown = np.full(len(titles), -1, dtype=np.int64)
    items = Items(about.task, titles, titles, unknown, about.classes, empty, np.zeros(len(titles), dtype=bool))
    chances = reopened(about, tensors, items).predict(np.arange(len(titles)), World()).softmax(-1)
    top = chances.topk(min(best, len(about.classes)), dim=-1)
    return [
        [(about.classes[number], chance) for chance, number in zip(values, numbers, strict=True)]
        for values, numbers in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]

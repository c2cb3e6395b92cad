"""The training loop, whole and in one place: batches, rates, gradients, validation, checkpoint, convergence."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from contracts.errors import ConfigurationError
from training.distributed import World
from training.finetune.data import PARTS, Ints, Items
from training.finetune.figures import assess
from training.finetune.model import Classifier
from training.finetune.recipe import Recipe
from training.tracking.port import Silent, Tracker

BEST, RESUME = "best.safetensors", "resume.safetensors"


@dataclass
class Progress:
    """What a run has done so far; it travels in the checkpoint.

    Attributes:
        epoch: finished ones.
        best: macro-F1 of the validation part.
        best_epoch: that gave it; 0 is the model before training.
        seconds: of training and validation.
        processor_seconds: likewise, of this process.
        before: figures of the test part before the first step.
        curve: a row of figures for each epoch.
    """

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    before: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    def converged(self, recipe: Recipe) -> bool:
        """Whether epochs enough went by without a gain."""
        return self.epoch >= recipe.fewest and self.epoch - self.best_epoch >= recipe.patience


def finetune(
    model: Classifier, items: Items, recipe: Recipe, folder: Path, tracker: Tracker | None = None, world: World | None = None
) -> Progress:
    """Train a model in place; it ends with its best weights. The same call goes on where a kill ended it.

    Args:
        model: has read the items.
        items: labelled ones.
        recipe: how.
        folder: of checkpoints.
        tracker: told the figures of each epoch, after its checkpoint is written.
        world: the processes that train together.

    Raises:
        ConfigurationError: if the folder holds a training of another recipe or of other items.
    """
    tracker, world = tracker or Silent(), world or World()
    folder.mkdir(parents=True, exist_ok=True)
    train, validation = items.part("train"), items.part("validation")
    if recipe.mode == "frozen":
        model.remember(len(items))
    optimizer = _optimizer(model, recipe)
    keeper = _Keeper(folder, {"recipe": asdict(recipe), "items": items.fingerprint()}, world)
    progress = keeper.resume(model, optimizer) or _begin(model, items, keeper, world)
    world.attach(model)
    while progress.epoch < recipe.most and not progress.converged(recipe):
        began = time.perf_counter(), time.process_time()
        loss = _epoch(model, items, train, (recipe, progress.epoch, world), optimizer)
        seen = assess(model.predict(validation, world), items, validation)
        progress.epoch += 1
        progress.seconds += time.perf_counter() - began[0]
        progress.processor_seconds += time.process_time() - began[1]
        judged = {f"validation/{name}": seen[name] for name in ("accuracy", "macro_f1", "loss")}
        progress.curve.append({"loss": loss, **judged, "rate": optimizer.param_groups[0]["lr"]})
        if seen["macro_f1"] > progress.best + recipe.gain:
            progress.best, progress.best_epoch = seen["macro_f1"], progress.epoch
            keeper.best(model)
        keeper.save(model, optimizer, progress)
        tracker.scalars(progress.epoch, progress.curve[-1])
    model.restore(load_file(folder / BEST))
    return progress


def _epoch(
    model: Classifier, items: Items, train: Ints, plan: tuple[Recipe, int, World], optimizer: torch.optim.Optimizer
) -> float:
    """One pass over the training part in a new order; returns the mean loss."""
    recipe, epoch, world = plan
    rng = np.random.default_rng((recipe.seed, epoch))
    torch.manual_seed(int(rng.integers(2**31)) + world.rank)  # a resumed epoch draws what an unbroken one would
    labels = torch.from_numpy(items.labels).to(world.device)
    order, total = rng.permutation(train), 0.0
    starts = range(0, len(order), recipe.batch)
    bar = tqdm(starts, f"epoch {epoch + 1}/{recipe.most}", leave=False, disable=None if world.writes else True)
    model.train()
    for step, start in enumerate(bar):
        share = recipe.factor(epoch * len(starts) + step, recipe.most * len(starts))
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * share
        batch = order[start : start + recipe.batch]
        mine, weight = world.share(batch)
        loss = functional.cross_entropy(model(mine), labels[mine]) * weight
        optimizer.zero_grad()
        torch.autograd.backward(loss)  # adds up over the processes
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        total += world.total(float(loss.detach())) * len(batch)
    return total / len(order)


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    groups = model.parameter_groups(recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def _begin(model: Classifier, items: Items, keeper: _Keeper, world: World) -> Progress:
    """Give the head its class means, and measure what that gives before any training."""
    train, validation, test = (items.part(name) for name in PARTS)
    features = model.encode(train, world)
    model.head.begin(features.to(world.device), torch.from_numpy(items.labels[train]).to(world.device))
    before = assess(model.predict(test, world), items, test)
    best = assess(model.predict(validation, world), items, validation)["macro_f1"]
    keeper.best(model)
    return Progress(before=before, best=best)


class _Keeper:
    """Checkpoints as safetensors: written beside the old one, then put in its place."""

    def __init__(self, folder: Path, about: dict[str, Any], world: World) -> None:
        self._folder, self._about, self._world = folder, json.loads(json.dumps(about)), world

    def best(self, model: Classifier) -> None:
        self._write(BEST, model.trained(), {})

    def save(self, model: Classifier, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        tensors = {f"model/{name}": weight for name, weight in model.trained().items()}
        for number, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{slot}": value for slot, value in slots.items() if value is not None}
        self._write(RESUME, tensors, {"about": json.dumps(self._about), "progress": json.dumps(asdict(progress))})

    def _write(self, name: str, tensors: dict[str, Tensor], words: dict[str, str]) -> None:
        if self._world.writes:
            part = self._folder / f"{name}.part"
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part, metadata=words)
            part.replace(self._folder / name)
        self._world.wait()

    def resume(self, model: Classifier, optimizer: torch.optim.Optimizer) -> Progress | None:
        path = self._folder / RESUME
        if not path.exists():
            return None
        with safe_open(path, "pt") as file:
            words = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        self._check(json.loads(words["about"]))
        model.restore({key.removeprefix("model/"): value for key, value in tensors.items() if key.startswith("model/")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, number, slot = key.split("/")
                state.setdefault(int(number), {})[slot] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return Progress(**json.loads(words["progress"]))

    def _check(self, before: dict[str, Any]) -> None:
        if before == self._about:
            return
        old = before["recipe"]
        other = [
            f"{name} {old.get(name)}, not {value}" for name, value in self._about["recipe"].items() if old.get(name) != value
        ]
        what = "; ".join(other) or "of other items"
        message = f"--out: {self._folder} holds a training with {what}; name another folder, or remove this one"
        raise ConfigurationError(message)

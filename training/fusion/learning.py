"""Trains the fused model of histories; goes on after a kill with the epoch that it had finished last.

Each step fuses the items that it needs, under modality dropout: an item is now its id, now its text, now all of it, so that
each modality alone points to where the item belongs, and the gate learns whom to trust. Seen items may not be recommended,
so the encoder's pointer to the ring takes no part.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from contracts.errors import ConfigurationError
from contracts.tensors import EventKind
from fusion.fuse import hide_modalities
from training.demo_pictures import cosine_schedule, descend
from training.folders import alone_in
from training.fusion.codes import Histories
from training.fusion.model import FusedSessions
from training.fusion.recipe import FusedRecipe
from training.sessions.data import Ints, Queries
from training.sessions.encoder import Sampler, batches
from training.sessions.encoder_training import Tick, fingerprint, silent
from training.sessions.metrics import ranks_of, summary

TOP = 10
NEVER = -1e9
Steering = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]


@dataclass
class Course:
    """How far a training is; it travels in the checkpoint."""

    epoch: int = 0
    best: float = -1.0
    since_best: int = 0
    seconds: float = 0.0
    done: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def train(items: Histories, folder: Path, recipe: FusedRecipe, tick: Tick = silent) -> tuple[FusedSessions, Course]:
    """Train, or read what the folder holds.

    Args:
        items: histories with codes; hidden items take no part.
        folder: of the checkpoint; created if missing.
        recipe: how.
        tick: told how far it is.

    Returns:
        The model of the best epoch by recall plus NDCG on the validation items, in evaluation mode, and its course.

    Raises:
        ConfigurationError: if the folder holds a training of another log or recipe, or another training is at work there.
    """
    with alone_in(folder):
        return _train(items, folder, recipe, tick)


def _train(items: Histories, folder: Path, recipe: FusedRecipe, tick: Tick) -> tuple[FusedSessions, Course]:
    torch.manual_seed(recipe.seed)
    about = {"log": fingerprint(items.data.fit, [items.hidden.astype(np.int64)]), "recipe": _plain(recipe)}
    model, course, state = FusedSessions(items, recipe), Course(), None
    if (folder / "resume.pt").exists():
        state = torch.load(folder / "resume.pt", weights_only=True)
        if state["about"] != about:
            message = f"{folder} holds a training of {state['about']}, not of {about}; name another folder, or remove this one"
            raise ConfigurationError(message)
        model.load_state_dict(state["model"])
        course = Course(**state["course"])
    if not course.done:
        _learn(model, items, recipe, course, _Keeper(folder, about, state), tick)
    model.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    return model.eval(), course


def _plain(recipe: FusedRecipe) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()}


@dataclass
class _Keeper:
    """Writes checkpoints beside the old ones, then puts them in their place."""

    folder: Path
    about: dict[str, Any]
    state: dict[str, Any] | None

    def write(self, name: str, content: dict[str, Any]) -> None:
        torch.save(content, self.folder / f"{name}.part")
        (self.folder / f"{name}.part").replace(self.folder / name)


def _learn(model: FusedSessions, items: Histories, recipe: FusedRecipe, course: Course, keeper: _Keeper, tick: Tick) -> None:
    fit = items.data.fit
    steps = sum(1 for _ in batches(fit, recipe.targets, np.random.default_rng(0)))
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    schedule = cosine_schedule(optimizer, recipe.epochs * steps, 0.5 / recipe.epochs)
    if keeper.state is not None:
        optimizer.load_state_dict(keeper.state["optimizer"])
        schedule.load_state_dict(keeper.state["schedule"])
    sample = np.sort(np.random.default_rng(7).permutation(len(items.data.validation))[:4000])
    judged = items.data.validation.pick(sample)
    while course.epoch < recipe.epochs and course.since_best <= recipe.patience:
        began = time.perf_counter()
        loss = _epoch(model, items, recipe, course, (optimizer, schedule), tick)
        figures = summary(ranks(model, judged), TOP)
        course.epoch += 1
        course.seconds += time.perf_counter() - began
        course.curve.append({"loss": loss, **figures})
        course.since_best += 1
        if sum(figures.values()) > course.best:
            course.best, course.since_best = sum(figures.values()), 0
            keeper.write("best.pt", model.state_dict())
        keeper.write("resume.pt", _state(keeper, model, course, optimizer, schedule))
    course.done = True
    keeper.write("resume.pt", _state(keeper, model, course, optimizer, schedule))
    tick(recipe.label, 1.0, _words(course))


def _epoch(
    model: FusedSessions, items: Histories, recipe: FusedRecipe, course: Course, steering: Steering, tick: Tick
) -> float:
    """One pass over the histories; its chance depends on seed and epoch only. Returns the mean loss."""
    rng = np.random.default_rng((recipe.seed, course.epoch))
    torch.manual_seed(int(rng.integers(2**31)))
    draw = torch.Generator().manual_seed(int(rng.integers(2**31)))
    sampler = _sampler(items, recipe, rng)
    model.train()
    losses: list[float] = []
    steps = max(1, sum(len(history) - 1 for history in items.data.fit) // recipe.targets)
    for block in batches(items.data.fit, recipe.targets, rng):
        losses.append(descend(loss_of(model, block, sampler, recipe, draw), *steering, recipe.clip))
        tick(recipe.label, min(1.0, (course.epoch + min(1.0, len(losses) / steps)) / recipe.epochs), _words(course))
    return float(np.mean(losses))


def _state(
    keeper: _Keeper,
    model: FusedSessions,
    course: Course,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> dict[str, Any]:
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    return {"about": keeper.about, "course": asdict(course), **parts}


def _words(course: Course) -> str:
    return f"recall@{TOP} {course.curve[-1][f'recall@{TOP}']:.4f}" if course.curve else ""


def _sampler(items: Histories, recipe: FusedRecipe, rng: np.random.Generator) -> Sampler:
    """Draws negatives; a hidden item is never one (its count of -1 has no chance)."""
    counts = items.counts.astype(np.float64)
    counts[items.hidden] = -1.0
    with np.errstate(divide="ignore"):
        return Sampler(counts, recipe.negatives, rng)


def loss_of(model: FusedSessions, block: Ints, sampler: Sampler, recipe: FusedRecipe, draw: torch.Generator) -> Tensor:
    """Mean cross-entropy of the next items of a block of histories, int64 [B, T] padded with -1 behind.

    A softmax over the target and the shared draws, whose logits are corrected by the log of their inclusion probability.
    """
    items, ahead = torch.from_numpy(block[:, :-1]), torch.from_numpy(block[:, 1:])
    asked = ahead >= 0
    negatives = sampler.draw()
    rows, local = torch.unique(torch.cat((items.clamp_min(0).flatten(), ahead[asked], negatives)), return_inverse=True)
    inputs = local[: items.numel()].view_as(items)
    targets, drawn = local[items.numel() : -len(negatives)], local[-len(negatives) :]
    vectors = model.items(rows, hide_modalities(model.has[rows], recipe.modality_dropout, draw)).fused
    x = model.dropout(functional.embedding(inputs, vectors))
    query = model.encoder(x, torch.full_like(items, int(EventKind.VIEW)))[0][asked]
    own = (query * functional.embedding(targets, vectors)).sum(-1, keepdim=True)
    far = query @ functional.embedding(drawn, vectors).T - sampler.log_inclusion[negatives]
    far = far.masked_fill(drawn.unsqueeze(0) == targets.unsqueeze(1), NEVER)
    return functional.cross_entropy(torch.cat((own, far), dim=1), torch.zeros(len(targets), dtype=torch.int64))


@torch.no_grad()
def ranks(
    model: FusedSessions, queries: Queries, allowed: NDArray[np.bool_] | None = None, batch: int = 1024
) -> NDArray[np.float64]:
    """Rank of each target among the allowed items (all by default), the prefix's own items left out.

    Args:
        model: the model.
        queries: prefixes and targets.
        allowed: bool [n], which items may answer.
        batch: queries at a time.
    """
    model.eval()
    table = model.table()
    found = np.full(len(queries), np.inf)
    order = np.argsort(queries.lengths, kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        part = queries.pick(rows)
        scores = model.scores(part.items[:, -max(1, int(part.lengths.max())) :], table).numpy()
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        found[rows] = ranks_of(scores, part, mask_seen=True)
    return found

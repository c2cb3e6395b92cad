"""The encoder's training: early stop on the validation slice, a refit on everything, checkpoints that a kill cannot harm."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.errors import ConfigurationError
from training.demo_pictures import cosine_schedule, descend
from training.distributed import World
from training.folders import alone_in
from training.sessions.data import Dataset, Ints
from training.sessions.encoder import EncoderRecipe, Sampler, SessionModel, batches, encoder_ranks, sampled_loss
from training.sessions.metrics import summary
from training.small.augment_sessions import Augment
from training.tracking.board import Board
from training.tracking.port import Silent, Tracker

LOG = logging.getLogger(__name__)
Tick = Callable[[str, float, str], None]
"""Told a stage's name, the share of it that is done (0 to 1) and its newest figures in words."""


def silent(_stage: str, _share: float, _words: str) -> None:
    """A tick that shows nothing."""


@dataclass
class Progress:
    """What a run has done so far; it travels in the checkpoint."""

    stage: str = "fit"
    epoch: int = 0
    best: float = -1.0
    since_best: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    curve: list[dict[str, float | str]] = field(default_factory=list)


def train_encoder(  # noqa: PLR0913 - those behind the star are for few callers
    data: Dataset,
    folder: Path,
    recipe: EncoderRecipe,
    k: int,
    tick: Tick = silent,
    *,
    tracker: Tracker | None = None,
    world: World | None = None,
    augment: Augment | None = None,
) -> Progress:
    """Train, leaving `fit.pt` (best on the validation slice) and `final.pt` in the folder; goes on after a kill.

    Args:
        data: the log; a fixed sample of 4,000 of its validation queries is ranked after each epoch.
        folder: of checkpoints and TensorBoard curves.
        recipe: how.
        k: cut-off of the validation figures.
        tick: called after each step and, with the figures, after each epoch, whose checkpoint is then written.
        tracker: told the figures of each epoch, after its checkpoint; by default TensorBoard in the folder.
        world: the processes that train together, each with this call; only the first of them writes and ticks.
        augment: changes the sessions of each epoch; see `training.small.choice`.

    Raises:
        ConfigurationError: if the folder holds a training of another log or of another recipe, or another training is at work
            there.
    """
    world = world or World()
    torch.manual_seed(recipe.seed)
    with alone_in(folder, writes=world.writes):
        run = _Run(SessionModel(data.items, recipe), recipe, folder, fingerprint(data.fit, data.full), tick)
        run.share(world, tracker or Board(folder / "tensorboard"))
        run.augment = augment
        run.resume()
        return _through(run, data, k)


def _through(run: _Run, data: Dataset, k: int) -> Progress:
    """The stages that the run has not done yet."""
    folder, recipe = run.folder, run.recipe
    sample = np.random.default_rng(7).permutation(len(data.validation))[:4000]
    seen = data.validation.pick(np.sort(sample))

    def judge(model: SessionModel) -> dict[str, float]:
        return summary(encoder_ranks(model, seen, mask_seen=data.mask_seen), k)

    if run.progress.stage == "fit":
        run.stage(data.fit, recipe.epochs(sum(len(session) - 1 for session in data.fit)), recipe.learning_rate, judge)
        run.model.load_state_dict(torch.load(folder / "fit.pt", weights_only=True))
        run.progress.stage, run.progress.epoch, run.progress.since_best, run.state = "refit", 0, 0, None
    if run.progress.stage == "refit":
        if data.full is not data.fit and recipe.refit_epochs:
            run.stage(data.full, recipe.refit_epochs, recipe.learning_rate * recipe.refit_rate, None)
        run.write(folder / "final.pt")
        run.progress.stage, run.state = "done", None
        run.save(None, None)
    return run.progress


def fingerprint(*parts: Sequence[Ints]) -> int:
    """CRC-32 of sessions and their borders: whether two trainings read the same log."""
    value = 0
    for sessions in parts:
        lengths = np.asarray([len(session) for session in sessions], dtype=np.int64)
        value = zlib.crc32(np.concatenate((lengths, *sessions)).tobytes(), value)
    return value


class _Run:
    """A training that can be taken up where a kill ended it."""

    def __init__(self, model: SessionModel, recipe: EncoderRecipe, folder: Path, log: int, tick: Tick) -> None:
        self.model, self.recipe, self.folder, self.tick = model, recipe, folder, tick
        self.about: dict[str, Any] = {"log": log, "recipe": asdict(recipe)}
        self.progress = Progress()
        self.state: dict[str, Any] | None = None
        self.world = World()
        self.tracker: Tracker = Silent()
        self.augment: Augment | None = None

    def share(self, world: World, tracker: Tracker) -> None:
        """Train as one of several processes; all but the first keep silent."""
        self.world = world
        self.tracker = tracker if world.writes else Silent()
        self.tick = self.tick if world.writes else silent
        world.attach(self.model)

    def write(self, path: Path) -> None:
        """The model's weights, by the first process."""
        if self.world.writes:
            torch.save(self.model.state_dict(), path)
        self.world.wait()

    def resume(self) -> None:
        """Load the last checkpoint, if there is one."""
        path = self.folder / "resume.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self._check(state.get("about", {}))
            self.model.load_state_dict(state["model"])
            self.progress = Progress(**state["progress"])
            self.state = state if state["optimizer"] is not None else None

    def _check(self, about: dict[str, Any]) -> None:
        if about == self.about:
            return
        before = about.get("recipe", {})
        other = [
            f"{name} {before.get(name)}, not {value}"
            for name, value in self.about["recipe"].items()
            if before.get(name) != value
        ]
        what = "; ".join(other) or "of another log"
        message = f"--checkpoints: {self.folder} holds a training {what}; name another folder, or remove this one"
        raise ConfigurationError(message)

    def save(self, optimizer: torch.optim.Optimizer | None, schedule: torch.optim.lr_scheduler.LambdaLR | None) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        if not self.world.writes:
            return
        state = {
            "about": self.about,
            "model": self.model.state_dict(),
            "progress": asdict(self.progress),
            "optimizer": optimizer.state_dict() if optimizer else None,
            "schedule": schedule.state_dict() if schedule else None,
        }
        part = self.folder / "resume.part"
        torch.save(state, part)
        part.replace(self.folder / "resume.pt")

    def stage(
        self,
        sessions: Sequence[Ints],
        epochs: int,
        rate: float,
        judge: Callable[[SessionModel], dict[str, float]] | None,
    ) -> None:
        """Epochs over some sessions; with a judge the best weights go to `fit.pt` and a lack of gain ends it."""
        counts = np.bincount(np.concatenate(list(sessions)), minlength=len(self.model.vectors)).astype(np.float64)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=rate, betas=(0.9, 0.98), fused=True)
        steps = epochs * (1 + sum(len(session) - 1 for session in sessions) // self.recipe.targets)
        schedule = cosine_schedule(optimizer, steps, 0.5 / epochs)
        if self.state is not None:
            optimizer.load_state_dict(self.state["optimizer"])
            schedule.load_state_dict(self.state["schedule"])
        progress = self.progress
        while progress.epoch < epochs and progress.since_best <= self.recipe.patience:
            rng = np.random.default_rng((self.recipe.seed, progress.epoch, len(sessions)))
            torch.manual_seed(
                int(rng.integers(2**31)) + self.world.rank
            )  # dropout of a resumed training is that of an unbroken one
            sampler = Sampler(counts, self.recipe.negatives, rng)
            began, losses = (time.perf_counter(), time.process_time()), []
            self.model.train()
            seen = self.augment(sessions, rng) if self.augment else sessions
            for block in batches(seen, self.recipe.targets, rng):
                mine, weight = self._part(block)
                loss = sampled_loss(self.model, mine, sampler) * weight
                losses.append(self.world.total(descend(loss, optimizer, schedule, self.recipe.clip)))
                self.tick(progress.stage, min(1.0, (progress.epoch + len(losses) * epochs / steps) / epochs), self.words())
            progress.epoch += 1
            row: dict[str, float | str] = {"stage": progress.stage, "loss": float(np.mean(losses))}
            if judge is not None:
                row |= self._judged(judge(self.model))
            progress.seconds += time.perf_counter() - began[0]
            progress.processor_seconds += time.process_time() - began[1]
            self._finished(row | {"seconds": round(time.perf_counter() - began[0], 1)}, optimizer, schedule)
            self.tick(progress.stage, progress.epoch / epochs, self.words())
        self.tick(progress.stage, 1.0, self.words())

    def _part(self, block: Ints) -> tuple[Ints, float]:
        """This process's sessions of a block, and the share of the block's targets that its mean loss counts."""
        if self.world.size == 1:
            return block, 1.0
        mine, weight = self.world.share(block)
        targets = (block[:, 1:] >= 0).sum()
        own = (mine[:, 1:] >= 0).sum() if weight else 0
        return (mine, float(own / targets)) if own else (block[np.argmax((block[:, 1:] >= 0).sum(axis=1))][None], 0.0)

    def words(self) -> str:
        """The newest epoch's figures."""
        if not self.progress.epoch:
            return ""
        newest = self.progress.curve[-1]
        figures = [f"{name} {value:.4f}" for name, value in newest.items() if isinstance(value, float) and name != "seconds"]
        return f"epoch {self.progress.epoch}: {', '.join(figures)}"

    def _finished(
        self,
        row: dict[str, float | str],
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
    ) -> None:
        """Write the checkpoint and the curves of an epoch."""
        progress = self.progress
        progress.curve.append(row)
        self.save(optimizer, schedule)
        self.world.wait()
        points = {f"{progress.stage}/{name}": value for name, value in row.items() if isinstance(value, float)}
        self.tracker.scalars(len(progress.curve), points)
        LOG.info("epoch done", extra={"epoch": progress.epoch, **row})

    def _judged(self, figures: dict[str, float]) -> dict[str, float]:
        """Keep the weights if they are the best so far by recall plus MRR (or NDCG)."""
        value = sum(figures.values())
        if value > self.progress.best:
            self.progress.best, self.progress.since_best = value, 0
            self.write(self.folder / "fit.pt")
        else:
            self.progress.since_best += 1
        return figures

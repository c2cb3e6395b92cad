"""Trains the streaming session encoder with a sampled softmax; what is trained here is `fusion.session.SessionEncoder`.

Whole sessions with a causal loss. Negatives are shared draws from (count + 1) ** .75 without repetition, corrected by the
log of their inclusion probability; the target and the ring's own items are scored exactly and taken out of the negatives.

Shapes: B sessions, T events, N targets of a step, M negatives, W ring, D width, n items.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from contracts.errors import ConfigurationError
from contracts.tensors import EventKind
from fusion.config import SessionConfig
from fusion.session import SessionEncoder
from training.demo_pictures import cosine_schedule, descend
from training.demo_recommender import ring_places
from training.sessions.data import LONGEST, Ints, Queries
from training.sessions.metrics import ranks_of, summary

LOG = logging.getLogger(__name__)
NEVER = -1e9


@dataclass(frozen=True)
class EncoderRecipe:
    """How the encoder is trained; the defaults are for every data set."""

    dim: int = 100
    negatives: int = 4096
    targets: int = 1024
    """Targets of a step."""
    steps: int = 2600
    """Steps that the number of epochs aims at, within `fewest` and `most`."""
    fewest: int = 6
    most: int = 20
    patience: int = 2
    """Epochs without a gain on the validation slice after which training stops."""
    refit_epochs: int = 3
    """Epochs over all training sessions that follow, at `refit_rate` of the learning rate."""
    refit_rate: float = 0.5
    learning_rate: float = 4e-3
    clip: float = 5.0
    dropout: float = 0.25
    seed: int = 0

    def epochs(self, targets: int) -> int:
        """Epochs for a number of targets in the log."""
        return int(np.clip(round(self.steps * self.targets / max(targets, 1)), self.fewest, self.most))


class SessionModel(nn.Module):
    """Item vectors and encoder; vectors are of unit length for the stream and for the answers alike."""

    def __init__(self, items: int, recipe: EncoderRecipe) -> None:
        super().__init__()
        dim = recipe.dim
        config = SessionConfig(dim=dim, dropout=recipe.dropout, input_scale=dim**0.5)
        self.encoder = SessionEncoder(config)
        self.vectors = nn.Parameter(torch.randn(items, dim) * dim**-0.5 * 0.5)
        self.dropout = nn.Dropout(recipe.dropout)

    def rows(self, rows: Tensor) -> Tensor:
        """Unit vectors [len(rows), D] of items."""
        return functional.normalize(functional.embedding(rows, self.vectors), dim=-1)

    @torch.no_grad()
    def scores(self, queries: Ints, vectors: Tensor) -> Tensor:
        """Logits [B, n] of all items after prefixes [B, T] padded with -1 in front; `vectors` is `unit_vectors()`."""
        items = torch.from_numpy(np.ascontiguousarray(left_aligned(queries)))
        lengths = (items >= 0).sum(1)
        known = items.clamp_min(0)
        query, pointer = self.encoder(vectors[known], torch.full_like(known, int(EventKind.VIEW)))
        ring, newest = ring_places(items, self.encoder.config.ring)
        last = (torch.arange(len(items)), (lengths - 1).clamp_min(0))
        heard = (lengths > 0).to(query.dtype).unsqueeze(1)
        result = (query[last] * heard) @ vectors.T
        result = result.scatter_add(1, ring[last], pointer[last] * newest[last] * heard)
        return torch.as_tensor(result)

    @torch.no_grad()
    def unit_vectors(self) -> Tensor:
        """Unit vectors [n, D] of all items."""
        return functional.normalize(self.vectors, dim=-1)


def left_aligned(items: Ints) -> Ints:
    """Prefixes padded behind instead of in front."""
    width = items.shape[1]
    shift = width - (items >= 0).sum(axis=1)
    columns = np.arange(width)[None, :] + shift[:, None]
    return np.where(columns < width, np.take_along_axis(items, np.minimum(columns, width - 1), axis=1), -1)


class Sampler:
    """Draws negatives from (count + 1) ** .75."""

    def __init__(self, counts: NDArray[np.float64], draws: int, rng: np.random.Generator) -> None:
        probability = (counts + 1) ** 0.75
        probability /= probability.sum()
        self._cumulative = np.cumsum(probability)
        self._draws, self._rng = draws, rng
        self.log_inclusion = torch.from_numpy(np.log(-np.expm1(-draws * probability)).astype(np.float32))

    def draw(self) -> Tensor:
        """Different items, int64 [M]."""
        draws = np.searchsorted(self._cumulative, self._rng.random(self._draws))
        return torch.from_numpy(np.unique(np.minimum(draws, len(self._cumulative) - 1)))


def batches(sessions: Sequence[Ints], targets: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Sessions of similar length, int64 [B, T] padded with -1 behind, about `targets` targets each, in random order."""
    lengths = np.array([min(len(session), LONGEST + 1) for session in sessions])
    order = np.argsort(lengths + rng.random(len(lengths)), kind="stable")
    groups = np.cumsum(np.maximum(lengths[order] - 1, 0)) // targets
    edges = np.flatnonzero(np.diff(groups)) + 1
    chunks = np.split(order, edges)
    for at in rng.permutation(len(chunks)):
        rows = chunks[at]
        block = np.full((len(rows), int(lengths[rows].max())), -1, dtype=np.int64)
        for place, row in enumerate(rows):
            newest = sessions[row][-(LONGEST + 1) :]
            block[place, : len(newest)] = newest
        yield block


def sampled_loss(model: SessionModel, block: Ints, sampler: Sampler) -> Tensor:
    """Mean cross-entropy of the next items of a block of sessions [B, T]."""
    items, ahead = torch.from_numpy(block[:, :-1]), torch.from_numpy(block[:, 1:])
    asked = ahead >= 0
    negatives = sampler.draw()
    used, local = torch.unique(torch.cat((items.clamp_min(0).flatten(), ahead[asked], negatives)), return_inverse=True)
    vectors = model.rows(used)
    inputs, targets = local[: items.numel()].view_as(items), local[items.numel() : items.numel() + int(asked.sum())]
    drawn = local[items.numel() + len(targets) :]
    x = model.dropout(functional.embedding(inputs, vectors))
    query, pointer = model.encoder(x, torch.full_like(items, int(EventKind.VIEW)))
    ring, newest = ring_places(torch.where(items >= 0, inputs, -1), model.encoder.config.ring)
    query, pointer, ring, newest = query[asked], pointer[asked], ring[asked], newest[asked]
    own = (query * functional.embedding(targets, vectors)).sum(-1, keepdim=True)
    near = torch.matmul(functional.embedding(ring, vectors), query.unsqueeze(-1)).squeeze(-1) + pointer
    far = query @ functional.embedding(drawn, vectors).T - sampler.log_inclusion[negatives]
    column = torch.full((len(used),), -1, dtype=torch.int64)
    column[drawn] = torch.arange(len(drawn))
    exact = column[torch.cat((targets.unsqueeze(1), ring), dim=1)]
    barred = torch.zeros(len(far), far.shape[1] + 1).scatter_(1, torch.where(exact >= 0, exact, far.shape[1]), NEVER)
    repeat = (ring == targets.unsqueeze(1)) & (newest > 0)
    own = own.masked_fill(repeat.any(1, keepdim=True), NEVER)
    near = near.masked_fill(newest == 0, NEVER)
    answer = torch.where(repeat.any(1), 1 + repeat.to(torch.int64).argmax(1), 0)
    return functional.cross_entropy(torch.cat((own, near, far + barred[:, :-1]), dim=1), answer)


@torch.no_grad()
def encoder_ranks(model: SessionModel, queries: Queries, *, mask_seen: bool, batch: int = 512) -> NDArray[np.float64]:
    """Rank of each query's target among all items, infinite for unknown targets."""
    model.eval()
    vectors = model.unit_vectors()
    found = np.full(len(queries), np.inf)
    order = np.argsort(queries.lengths, kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        part = queries.pick(rows)
        width = max(1, int(part.lengths.max()))
        scores = model.scores(part.items[:, -width:], vectors).numpy()
        found[rows] = ranks_of(scores, part, mask_seen=mask_seen)
    return found


@dataclass
class Progress:
    """What a run has done so far; it travels in the checkpoint."""

    stage: str = "fit"
    epoch: int = 0
    best: float = -1.0
    since_best: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float | str]] = field(default_factory=list)


def train_encoder(  # noqa: PLR0913 - data, place and recipe
    fit: Sequence[Ints],
    full: Sequence[Ints],
    validation: Queries,
    model_size: int,
    folder: Path,
    recipe: EncoderRecipe,
    *,
    mask_seen: bool,
    k: int = 20,
    tick: Callable[[float], None] = lambda _: None,
) -> Progress:
    """Train, leaving `fit.pt` (best on the validation slice) and `final.pt` in the folder; goes on after a kill.

    Args:
        fit: sessions before the validation slice.
        full: sessions of the final model.
        validation: queries that stop the training early; a fixed sample of 4,000 of them is ranked after each epoch.
        model_size: items n.
        folder: of checkpoints and TensorBoard curves.
        recipe: how.
        mask_seen: whether seen items may not be recommended.
        k: cut-off of the validation figures.
        tick: called with the seconds of each finished epoch.

    Raises:
        ConfigurationError: if the folder holds a training of other data or of another recipe.
    """
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    sample = np.random.default_rng(7).permutation(len(validation))[:4000]
    seen = validation.pick(np.sort(sample))
    run = _Run(SessionModel(model_size, recipe), recipe, folder, fingerprint(fit, full))
    run.resume()

    def judge(model: SessionModel) -> dict[str, float]:
        return summary(encoder_ranks(model, seen, mask_seen=mask_seen), k)

    if run.progress.stage == "fit":
        run.stage(fit, recipe.epochs(sum(len(session) - 1 for session in fit)), recipe.learning_rate, judge, tick)
        run.model.load_state_dict(torch.load(folder / "fit.pt", weights_only=True))
        run.progress.stage, run.progress.epoch, run.progress.since_best, run.state = "refit", 0, 0, None
    if run.progress.stage == "refit":
        if full is not fit and recipe.refit_epochs:
            run.stage(full, recipe.refit_epochs, recipe.learning_rate * recipe.refit_rate, None, tick)
        torch.save(run.model.state_dict(), folder / "final.pt")
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

    def __init__(self, model: SessionModel, recipe: EncoderRecipe, folder: Path, log: int) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.about = {"log": log, "recipe": asdict(recipe)}
        self.progress = Progress()
        self.state: dict[str, Any] | None = None

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
        tick: Callable[[float], None],
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
        with SummaryWriter(str(self.folder / "tensorboard")) as writer:
            while progress.epoch < epochs and progress.since_best <= self.recipe.patience:
                rng = np.random.default_rng((self.recipe.seed, progress.epoch, len(sessions)))
                torch.manual_seed(int(rng.integers(2**31)))  # dropout of a resumed training is that of an unbroken one
                sampler = Sampler(counts, self.recipe.negatives, rng)
                began, losses = time.perf_counter(), []
                self.model.train()
                for block in batches(sessions, self.recipe.targets, rng):
                    loss = sampled_loss(self.model, block, sampler)
                    losses.append(descend(loss, optimizer, schedule, self.recipe.clip))
                progress.epoch += 1
                row: dict[str, float | str] = {"stage": progress.stage, "loss": float(np.mean(losses))}
                if judge is not None:
                    row |= self._judged(judge(self.model))
                seconds = time.perf_counter() - began
                progress.seconds += seconds
                progress.curve.append(row | {"seconds": round(seconds, 1)})
                self.save(optimizer, schedule)
                for name, value in row.items():
                    if isinstance(value, float):
                        writer.add_scalar(f"{progress.stage}/{name}", value, len(progress.curve))
                LOG.info("epoch done", extra={"epoch": progress.epoch, **row})
                tick(seconds)

    def _judged(self, figures: dict[str, float]) -> dict[str, float]:
        """Keep the weights if they are the best so far by recall plus MRR (or NDCG)."""
        value = sum(figures.values())
        if value > self.progress.best:
            self.progress.best, self.progress.since_best = value, 0
            torch.save(self.model.state_dict(), self.folder / "fit.pt")
        else:
            self.progress.since_best += 1
        return figures

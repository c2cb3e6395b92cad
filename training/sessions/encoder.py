"""The streaming session encoder under training and its sampled softmax; the module inside is `fusion.session.SessionEncoder`.

Whole sessions with a causal loss. Negatives are shared draws from (count + 1) ** .75 without repetition, corrected by the
log of their inclusion probability; the target and the ring's own items are scored exactly and taken out of the negatives.

Shapes: B sessions, T events, N targets of a step, M negatives, W ring, D width, n items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import ConfigurationError
from contracts.tensors import EventKind
from fusion.config import SessionConfig
from fusion.session import SessionEncoder
from training.demo_recommender import ring_places
from training.sessions.data import LONGEST, Ints, Queries
from training.sessions.metrics import ranks_of

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
    fewest: int = 8
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

    @classmethod
    def chosen(
        cls, fewest: int | None = None, most: int | None = None, refit: int | None = None, seed: int = 0
    ) -> EncoderRecipe:
        """The defaults with other epochs or seed; a bound that was not given follows the one that was.

        Raises:
            ConfigurationError: if `fewest` is above `most`.
        """
        if fewest is not None and most is not None and fewest > most:
            message = f"--fewest is {fewest} and --most {most}, expected --most of at least {fewest}"
            raise ConfigurationError(message)
        low = min(cls.fewest, most or cls.fewest) if fewest is None else fewest
        high = max(cls.most, low) if most is None else most
        return cls(fewest=low, most=high, refit_epochs=cls.refit_epochs if refit is None else refit, seed=seed)

    @property
    def label(self) -> str:
        """Name of the folder of a training, so that other epochs or another seed are another training."""
        return f"epochs-{self.fewest}-{self.most}-refit-{self.refit_epochs}-seed-{self.seed}"

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


class _SampledSoftmax(torch.autograd.Function):
    """Mean cross-entropy over exact logits and corrected negatives, in one buffer [N, 1 + W + M] from logits to gradient.

    Plain autograd needs ten buffers of that size, which costs a fifth of a step.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - torch passes what `apply` is given
        ctx: Any, exact: Tensor, query: Tensor, drawn: Tensor, correction: Tensor, barred: Tensor, answer: Tensor
    ) -> Tensor:
        """Loss of exact logits [N, 1 + W] and queries [N, D] against drawn vectors [M, D].

        `barred` [N, 1 + W] holds columns of `drawn` that a row must not use, -1 for none; `answer` [N] is a column of `exact`.
        """
        width = exact.shape[1]
        values = exact.new_empty(len(exact), width + len(drawn))
        values[:, :width] = exact
        torch.addmm(-correction, query, drawn.T, out=values[:, width:])
        rows, places = torch.nonzero(barred >= 0, as_tuple=True)
        values[rows, width + barred[rows, places]] = NEVER
        values.sub_(values.amax(1, keepdim=True))
        own = values.gather(1, answer.unsqueeze(1)).squeeze(1)
        total = values.exp_().sum(1, keepdim=True)
        ctx.save_for_backward(values.div_(total), query, drawn, answer)
        return (total.squeeze(1).log() - own).mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Probabilities less one at the answer, times the inputs."""
        values, query, drawn, answer = ctx.saved_tensors
        width = values.shape[1] - len(drawn)
        values[torch.arange(len(values)), answer] -= 1.0
        values *= grads[0] / len(values)
        far = values[:, width:]
        return values[:, :width], far @ drawn, far.T @ query, None, None, None


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
    repeat = (ring == targets.unsqueeze(1)) & (newest > 0)
    own = own.masked_fill(repeat.any(1, keepdim=True), NEVER)
    near = near.masked_fill(newest == 0, NEVER)
    answer = torch.where(repeat.any(1), 1 + repeat.to(torch.int64).argmax(1), 0)
    column = torch.full((len(used),), -1, dtype=torch.int64)
    column[drawn] = torch.arange(len(drawn))
    barred = column[torch.cat((targets.unsqueeze(1), ring), dim=1)]
    correction = sampler.log_inclusion[negatives]
    loss: Tensor = _SampledSoftmax.apply(
        torch.cat((own, near), dim=1), query, functional.embedding(drawn, vectors), correction, barred, answer
    )
    return loss


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

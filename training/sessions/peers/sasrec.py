"""SASRec (Kang and McAuley, 2018) with sampled softmax: a causal transformer that encodes the session anew at each click.

The attention is the paper's (learned positions, blocks of self-attention and a feed-forward net, layer norm first); the loss is
the sampled softmax of our encoder, with the same negatives, correction, batches and learning rate schedule, because the
paper's single negative is far behind it (Klenitskiy and Vasilev, 2023). Item vectors are free, not of unit length.

Shapes: B sessions, T events, N targets of a step, M negatives, D width, n items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.demo_pictures import cosine_schedule, descend
from training.sessions.data import LONGEST, Ints, Queries
from training.sessions.encoder import NEVER, Sampler, batches, left_aligned
from training.sessions.metrics import ranks_of


@dataclass(frozen=True)
class SasrecRecipe:
    """How it is trained; two blocks with two heads are the usual size on these sets."""

    dim: int = 100
    blocks: int = 2
    heads: int = 2
    dropout: float = 0.2
    learning_rate: float = 1e-3
    negatives: int = 4096
    targets: int = 1024
    epochs: int = 8
    seed: int = 0


class Sasrec(nn.Module):
    """Item vectors, positions and a causal transformer."""

    def __init__(self, items: int, recipe: SasrecRecipe) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(items, recipe.dim) * 0.02)
        self.places = nn.Parameter(torch.randn(LONGEST, recipe.dim) * 0.02)
        self.dropout = nn.Dropout(recipe.dropout)
        block = nn.TransformerEncoderLayer(
            recipe.dim, recipe.heads, 4 * recipe.dim, recipe.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, recipe.blocks, nn.LayerNorm(recipe.dim), enable_nested_tensor=False)

    def forward(self, items: Tensor) -> Tensor:
        """Queries [B, T, D] after each event of sessions [B, T], padded with -1 behind; causal, so padding never matters."""
        length = items.shape[1]
        x = functional.embedding(items.clamp_min(0), self.vectors) * self.vectors.shape[1] ** 0.5 + self.places[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        result: Tensor = self.blocks(self.dropout(x), mask=mask, is_causal=True)
        return result

    def loss(self, block: Ints, sampler: Sampler) -> Tensor:
        """Mean cross-entropy of the next items of sessions [B, T]: the target exactly, negatives corrected."""
        items, ahead = torch.from_numpy(block[:, :-1]), torch.from_numpy(block[:, 1:])
        asked = ahead >= 0
        query, targets, drawn = self(items)[asked], ahead[asked], sampler.draw()
        own = (query * functional.embedding(targets, self.vectors)).sum(-1, keepdim=True)
        far = query @ functional.embedding(drawn, self.vectors).T - sampler.log_inclusion[drawn]
        far = far.masked_fill(drawn == targets.unsqueeze(1), NEVER)
        return functional.cross_entropy(torch.cat((own, far), dim=1), torch.zeros(len(own), dtype=torch.int64))

    @torch.no_grad()
    def scores(self, queries: Ints) -> NDArray[np.float32]:
        """Logits [B, n] of all items after prefixes [B, T] padded with -1 in front; an empty prefix gets zeros."""
        items = torch.from_numpy(np.ascontiguousarray(left_aligned(queries)))
        lengths = (items >= 0).sum(1)
        query = self(items)[torch.arange(len(items)), (lengths - 1).clamp_min(0)]
        result: NDArray[np.float32] = ((query * (lengths > 0).unsqueeze(1)) @ self.vectors.T).numpy()
        return result


def train_sasrec(
    sessions: Sequence[Ints], items: int, recipe: SasrecRecipe, minutes: float, tick: Callable[[float], None]
) -> tuple[Sasrec, int]:
    """Train on whole sessions.

    Args:
        sessions: of rows.
        items: n.
        recipe: how.
        minutes: of processor time after which no further epoch begins.
        tick: told the share of the epochs that is done.

    Returns:
        The model and how many epochs it had.
    """
    torch.manual_seed(recipe.seed)
    model, rng = Sasrec(items, recipe), np.random.default_rng(recipe.seed)
    counts = np.bincount(np.concatenate(list(sessions)), minlength=items).astype(np.float64)
    sampler = Sampler(counts, recipe.negatives, rng)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    steps = recipe.epochs * (1 + sum(len(session) - 1 for session in sessions) // recipe.targets)
    schedule = cosine_schedule(optimizer, steps, 0.5 / recipe.epochs)
    began, epoch, done = time.process_time(), 0, 0
    while epoch < recipe.epochs and time.process_time() - began < 60 * minutes:
        for block in batches(sessions, recipe.targets, rng):
            descend(model.loss(block, sampler), optimizer, schedule, 5.0)
            done += 1
            tick(min(1.0, done / steps))
        epoch += 1
    return model.eval(), epoch


def sasrec_ranks(model: Sasrec, queries: Queries, *, mask_seen: bool, batch: int = 512) -> NDArray[np.float64]:
    """Rank of each query's target among all items; infinite for unknown targets."""
    found = np.full(len(queries), np.inf)
    order = np.argsort(queries.lengths, kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        part = queries.pick(rows)
        width = max(1, int(part.lengths.max()))
        found[rows] = ranks_of(model.scores(part.items[:, -width:]), part, mask_seen=mask_seen)
    return found

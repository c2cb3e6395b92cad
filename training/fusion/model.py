"""Items as a learned mixture of text, picture and id, and the streaming session encoder over them.

The networks are those that serve: `fusion.fuse.Fusion` and `fusion.session.SessionEncoder`. Only what feeds the fusion is
different here: codes of a quantiser, whose vectors are learned, in place of the outputs of two encoders.

Shapes: n items, r rows, B queries, T events, D width, C codes of an item, V values of a code, Wc width of a code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.tensors import EventKind
from fusion.config import FusionConfig, SessionConfig
from fusion.fuse import Fused, Fusion
from fusion.session import SessionEncoder
from training.fusion.codes import Histories
from training.fusion.recipe import FusedRecipe
from training.sessions.data import Ints
from training.sessions.encoder import left_aligned


class CodeTower(nn.Module):
    """Codes of items to vectors: one learned vector for each value of each code, summed and normalised.

    While training, a code is dropped with a chance, so that the coarse codes, which many items share, must say something
    on their own.

    Args:
        codes: int64 [n, C].
        width: Wc.
        dropout: chance that a code is dropped.
    """

    codes: Tensor

    def __init__(self, codes: Ints, width: int, dropout: float) -> None:
        super().__init__()
        values = codes.max(axis=0) + 1
        self.register_buffer("codes", torch.from_numpy(codes + np.concatenate(([0], np.cumsum(values)[:-1]))))
        self.vectors = nn.Embedding(int(values.sum()), width)
        self.norm = nn.LayerNorm(width)
        self.dropout = dropout
        fineness = torch.repeat_interleave(torch.arange(codes.shape[1]), torch.from_numpy(values))
        with torch.no_grad():
            self.vectors.weight.mul_(0.7 ** fineness.unsqueeze(1))

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors [r, Wc] of the items in `rows`, int64 [r]."""
        parts = self.vectors(self.codes[rows])
        if self.training and self.dropout:
            parts = parts * (torch.rand(parts.shape[:2]) >= self.dropout).unsqueeze(-1)
        made: Tensor = self.norm(parts.sum(1))
        return made


class Table(NamedTuple):
    """Vectors of all items: as they are touched, and as they may answer; [n, D] each, L2 norm 1."""

    touched: Tensor
    answers: Tensor


class FusedSessions(nn.Module):
    """Fused item vectors under the streaming session encoder.

    Args:
        items: histories with codes; a hidden item has no id vector, only content.
        recipe: sizes and which modalities take part.
    """

    has: Tensor

    def __init__(self, items: Histories, recipe: FusedRecipe) -> None:
        super().__init__()
        count, dim, width = items.data.items, recipe.dim, recipe.code_width
        self.text = CodeTower(items.text, width, recipe.code_dropout)
        self.image = CodeTower(items.image, width, recipe.code_dropout)
        self.fusion = Fusion(FusionConfig(dim=dim, text_width=width, image_width=width))
        self.encoder = SessionEncoder(SessionConfig(dim=dim, dropout=recipe.dropout, input_scale=dim**0.5))
        self.ids = nn.Parameter(torch.randn(count, dim) * dim**-0.5 * 0.5)
        self.dropout = nn.Dropout(recipe.dropout)
        has = torch.tensor([float(name in recipe.modalities) for name in ("text", "image", "ids")]).repeat(count, 1)
        has[torch.from_numpy(items.hidden), 2] = 0.0
        self.register_buffer("has", has)

    def items(self, rows: Tensor, has: Tensor) -> Fused:
        """Fused vectors of rows int64 [r] with the modalities [r, 3] (text, image, id)."""
        made: Fused = self.fusion(self.text(rows), self.image(rows), self.ids[rows], has)
        return made

    @torch.no_grad()
    def table(self) -> Table:
        """Vectors of all items with all that they have."""
        fused = self.items(torch.arange(len(self.has)), self.has).fused
        return Table(fused, fused)

    @torch.no_grad()
    def scores(self, prefixes: Ints, table: Table) -> Tensor:
        """Logits [B, n] of all items after prefixes int64 [B, T], padded with -1 in front; zeros after an empty one."""
        items = torch.from_numpy(np.ascontiguousarray(left_aligned(prefixes)))
        lengths = (items >= 0).sum(1)
        known = items.clamp_min(0)
        query, _ = self.encoder(functional.embedding(known, table.touched), torch.full_like(known, int(EventKind.VIEW)))
        last = query[torch.arange(len(items)), (lengths - 1).clamp_min(0)]
        return torch.as_tensor((last * (lengths > 0).unsqueeze(1)) @ table.answers.T)

"""The session encoder: a state of fixed size that one event advances in constant time.

State [S = 3D + 2], flat float32: h (a GRU's memory), s1 and s2 (sums of the past item vectors that decay at two learned
rates), z1 and z2 (the matching sums of ones, so that s/z is a mean). Around it goes a ring of the newest W item vectors,
which the caller keeps as item keys. The query looks at all of these; a pointer term adds a logit to the ring's own items.

Shapes: B sessions, T events, W ring, D width, S state.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.config import SessionConfig


def _means(s1: Tensor, s2: Tensor, z: Tensor) -> Tensor:
    """Decayed means [..., 2D]; zeros before the first event."""
    return torch.cat((s1 / z[..., :1].clamp_min(1e-6), s2 / z[..., 1:].clamp_min(1e-6)), dim=-1)


class SessionEncoder(nn.Module):
    """Item vectors in, query vectors out; `step` and `query` serve, `forward` trains on whole sequences at once."""

    def __init__(self, config: SessionConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.kind = nn.Embedding(config.kinds, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.decay = nn.Parameter(torch.tensor([0.0, math.log(0.9 / 0.1)]))  # sigmoid: .5 and .9
        self.attend_query = nn.Linear(dim, dim)
        self.attend_key = nn.Linear(dim, dim, bias=False)
        self.attend_lag = nn.Parameter(torch.zeros(config.ring, dim))
        self.attend_value = nn.Linear(dim, 1, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        # With a bias it exports as Gemm, whose rows are the same bits in every batch; a plain MatMul's are not for one row.
        self.head = nn.Linear(5 * dim, dim)
        self.pointer_bias = nn.Parameter(torch.zeros(config.ring))
        self.pointer_weight = nn.Parameter(torch.zeros(config.ring, dim))
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.kind.weight, std=0.02)
        nn.init.normal_(self.attend_lag, std=0.02)

    def initial_state(self, batch: int) -> Tensor:
        """State [B, S] before the first event: zeros."""
        return self.head.weight.new_zeros(batch, self.config.state_width)

    def _parts(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """h, s1, s2 [B, D] and z [B, 2] of a state [B, S]."""
        dim = self.config.dim
        return state[:, :dim], state[:, dim : 2 * dim], state[:, 2 * dim : 3 * dim], state[:, 3 * dim :]

    def _embed(self, x: Tensor, kind: Tensor) -> Tensor:
        return x * self.config.input_scale + functional.embedding(kind, self.kind.weight)

    def _cell(self, x: Tensor, h: Tensor) -> Tensor:
        """One GRU step by the weights of `self.gru`; written out, so that it exports to plain matrix products."""
        weight_x, weight_h, bias_x, bias_h = self.gru.all_weights[0]
        reset_x, update_x, new_x = functional.linear(x, weight_x, bias_x).chunk(3, dim=-1)
        reset_h, update_h, new_h = functional.linear(h, weight_h, bias_h).chunk(3, dim=-1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return new + update * (h - new)

    def step(self, state: Tensor, x: Tensor, kind: Tensor) -> Tensor:
        """Advance by one event.

        Args:
            state: [B, S].
            x: [B, D] vector of the event's item.
            kind: int64 [B], a `contracts.tensors.EventKind` each.

        Returns:
            The new state [B, S].
        """
        h, s1, s2, z = self._parts(state)
        embedded = self._embed(x, kind)
        decay = torch.sigmoid(self.decay)
        return torch.cat(
            (self._cell(embedded, h), decay[0] * s1 + embedded, decay[1] * s2 + embedded, decay * z + 1.0),
            dim=-1,
        )

    def query(self, state: Tensor, ring_x: Tensor, ring_mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the session looks for.

        Args:
            state: [B, S].
            ring_x: [B, W, D] vectors of the newest items, newest first.
            ring_mask: float [B, W], 1 where the ring holds an item.

        Returns:
            query [B, D], tau times a unit vector, so that `query · v` is the logit of an item with unit vector v; and
            pointer [B, W], added to the logit of the item in that place of the ring (its newest place counts), 0 if empty.
        """
        h, s1, s2, z = self._parts(state)
        scaled = ring_x * self.config.input_scale * ring_mask.unsqueeze(-1)
        return self._answer(h, _means(s1, s2, z), scaled, self.attend_key(scaled), ring_mask)

    def _answer(self, h: Tensor, means: Tensor, ring: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Query and pointer from the parts; h [..., D], means [..., 2D], ring and keys [..., W, D], mask [..., W]."""
        hidden = torch.sigmoid(self.attend_query(h).unsqueeze(-2) + keys + self.attend_lag)
        weights = self.attend_value(hidden) * mask.unsqueeze(-1)
        # A product, not a sum over places: ONNX Runtime sums in another order when the batch is one row.
        attended = torch.matmul(weights.transpose(-1, -2), ring).squeeze(-2)
        features = torch.cat((ring[..., 0, :], h, means, attended), dim=-1)
        unit = functional.normalize(self.head(self.dropout(features)), dim=-1)
        pointer = functional.linear(unit, self.pointer_weight, self.pointer_bias) * mask
        return self.config.tau * unit, pointer

    def _windows(self, values: Tensor) -> Tensor:
        """[B, T, C] to [B, T, W, C]: at each t the newest W values, newest first, zeros before the start."""
        batch, length, width = values.shape
        ring = self.config.ring
        padded = functional.pad(values, (0, 0, ring - 1, 0))
        at = torch.arange(length, device=values.device)[:, None] + torch.arange(ring - 1, -1, -1, device=values.device)
        rows = torch.arange(batch, device=values.device)[:, None, None] * padded.shape[1] + at
        # A look-up of whole rows: `unfold` and `flip` give the same, but copy number by number there and back.
        return functional.embedding(rows, padded.reshape(-1, width))

    def forward(self, x: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Queries after every prefix of whole sequences; equal to `step` and `query` after each event.

        Sequences of several lengths are padded at the end: an answer never depends on later events.

        Args:
            x: [B, T, D] item vectors.
            kind: int64 [B, T].

        Returns:
            query [B, T, D] and pointer [B, T, W]; place w at time t belongs to the item of time t - w.
        """
        length = x.shape[1]
        embedded = self._embed(x, kind)
        h, _ = self.gru(embedded)
        steps = torch.arange(length, device=x.device)
        lag = steps[:, None] - steps[None, :]
        past = lag >= 0
        rates = functional.logsigmoid(self.decay)
        powers = torch.exp(rates[:, None, None] * lag.clamp_min(0)) * past  # [2, T, T], lambda ** lag for the past
        sums = powers.to(x.dtype).unsqueeze(1) @ embedded  # [2, B, T, D]
        z = powers.sum(-1).T.expand(x.shape[0], -1, -1)
        mask = (steps[:, None] >= torch.arange(self.config.ring, device=x.device)).to(x.dtype)
        scaled = x * self.config.input_scale
        ring, keys = self._windows(scaled), self._windows(self.attend_key(scaled))
        return self._answer(h, _means(sums[0], sums[1], z), ring, keys, mask.expand(x.shape[0], -1, -1))

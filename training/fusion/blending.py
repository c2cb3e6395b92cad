"""Fused encoder and neighbours, blended by a small network that knows how often each candidate was seen.

The encoder knows rare and new items by their content but few of them by name; the neighbours know whom they were bought
with, from a handful of baskets on. Which of the two to trust follows from the item's count, so the count is a feature of
the blend and its network bends the others by it.

Shapes: N queries, Cn candidates, F features, n items, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fusion.blend import Blend, best_of_rows, rule_values, union
from fusion.fuse import Fused
from training.fusion.codes import Histories
from training.fusion.model import FusedSessions
from training.sessions.data import Ints, Queries
from training.sessions.rules import by_row, item_cosine, last_items, recent, transitions

Floats = NDArray[np.float32]
FEATURES = (
    "log probability of the encoder",
    "gap to the encoder's best",
    "rank by the encoder",
    "score of the neighbours",
    "share of the neighbours",
    "rank by the neighbours",
    "transition from the last item",
    "fused cosine to the last item",
    "text cosine to the last item",
    "image cosine to the last item",
    "id cosine to the last item",
    "fused cosine to the item before",
    "log times seen",
    "log length",
)
TOP, NEAR = 100, 60
"""Candidates from the encoder and from the neighbours."""
NOTHING = 1e-2
TOP_K = 10
NETWORKS = 4
"""Whose mean a blend is."""


@dataclass(frozen=True)
class Candidates:
    """Items int64 [N, Cn], -1 where empty; features float32 [N, Cn, F]; neighbours' scores float32 [N, Cn]."""

    items: Ints
    features: Floats

    def pick(self, rows: NDArray[np.bool_]) -> Candidates:
        """Those of some queries."""
        return Candidates(self.items[rows], self.features[rows])

    @property
    def neighbours(self) -> Floats:
        """Scores by the neighbours alone, [N, Cn], -inf where empty."""
        column = self.features[..., FEATURES.index("score of the neighbours")]
        return np.where(self.items >= 0, column, -np.inf).astype(np.float32)


class Sources:
    """A trained model and the neighbours of the same histories.

    Args:
        items: the histories.
        model: trained on them.
    """

    def __init__(self, items: Histories, model: FusedSessions) -> None:
        self.model = model.eval()
        self.counts = items.counts
        self.rule: Any = by_row(transitions(items.data.fit, items.data.items))
        self.rule.sort_indices()
        self.cosine: Any = item_cosine(items.data.fit, items.data.items) + self.rule
        self.table = model.table()
        with torch.no_grad():
            self.parts: Fused = model.items(torch.arange(items.data.items), model.has)

    def candidates(self, queries: Queries) -> Candidates:
        """Both sources' best items, seen ones left out, with what is known of each; for some hundred queries at a time."""
        dense = self.model.scores(queries.items, self.table)
        total = torch.logsumexp(dense, dim=1, keepdim=True).numpy()
        near: Any = recent(queries, len(self.counts)) @ self.cosine
        near.sort_indices()
        sparse = near.indptr.astype(np.int64), near.indices.astype(np.int64), near.data
        rows, places = np.nonzero(queries.items >= 0)
        dense[rows, queries.items[rows, places]] = -torch.inf
        top = dense.topk(min(TOP, dense.shape[1]), dim=1)
        items: Any = union(np.concatenate((top.indices.numpy(), best_of_rows(*sparse, NEAR)), axis=1))
        said = np.take_along_axis(dense.numpy(), np.maximum(items, 0), axis=1)
        items = np.where(np.isfinite(said), items, -1)
        votes = rule_values(items, np.arange(len(items)), *sparse)
        columns = (
            said - total,
            said - top.values.numpy()[:, :1],
            _order(np.where(items >= 0, said, -np.inf)),
            np.log(votes + NOTHING),
            votes / np.maximum(votes.sum(1, keepdims=True), 1e-6),
            np.where(votes > 0, _order(np.where(items >= 0, votes, -np.inf)), np.log(2.0 * TOP)),
            *self._likeness(queries, items),
            np.log1p(self.counts)[np.maximum(items, 0)],
            np.broadcast_to(np.log1p(queries.lengths)[:, None], items.shape),
        )
        features = np.stack([np.nan_to_num(column, neginf=0.0).astype(np.float32) for column in columns], axis=-1)
        return Candidates(items, features)

    def _likeness(self, queries: Queries, items: Ints) -> list[Floats]:
        """Transition from the last item, cosines to it by each modality, and the fused cosine to the item before."""
        last, before = last_items(queries), last_items(queries, 2)
        rule: Any = self.rule.indptr, self.rule.indices, self.rule.data
        found = [np.sqrt(rule_values(items, last, *rule))]
        fused = self.table.answers
        for vectors, item in (
            (fused, last),
            (self.parts.text, last),
            (self.parts.image, last),
            (self.parts.behaviour, last),
            (fused, before),
        ):
            every = vectors.numpy()
            cosine = np.matmul(every[np.maximum(items, 0)], every[np.maximum(item, 0)][:, :, None])[..., 0]
            found.append(cosine * (item >= 0)[:, None])
        return found

    def collect(self, queries: Queries, tick: Callable[[float], None] = lambda _: None, batch: int = 256) -> Candidates:
        """Candidates of all queries, in their order."""
        order = np.argsort(queries.lengths, kind="stable")
        made = []
        for start in range(0, len(order), batch):
            part = queries.pick(order[start : start + batch])
            made.append(self.candidates(Queries(part.items[:, -max(1, int(part.lengths.max())) :], part.targets)))
            tick(min(1.0, (start + batch) / len(order)))
        back = np.argsort(order)
        return Candidates(
            np.concatenate([part.items for part in made])[back], np.concatenate([part.features for part in made])[back]
        )


def _order(values: NDArray[Any]) -> Floats:
    """Log of each value's place in its row, the greatest first."""
    places = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)
    return np.asarray(np.log1p(places), dtype=np.float32)


def scores(made: Candidates, blend: Blend) -> Floats:
    """Scores [N, Cn] by the blend, log odds up to a constant of the query; -inf where empty."""
    return np.where(made.items >= 0, blend.score(made.features), -np.inf).astype(np.float32)


class _Network(nn.Module):
    """The blend while it is trained."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(len(FEATURES), hidden)
        self.out = nn.Linear(hidden, 1, bias=False)
        self.line = nn.Linear(len(FEATURES), 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = (self.out(functional.relu(self.hidden(x))) + self.line(x)).squeeze(-1)
        return result


def fit(
    made: Candidates, targets: Ints, *, hidden: int = 32, epochs: int = 14, seed: int = 0, networks: int = NETWORKS
) -> Blend:
    """Listwise softmax over the candidates of the queries whose target is among them; the mean of several networks.

    Networks that start and shuffle differently err differently, and their mean, one network with all their hidden units, errs
    less (Lakshminarayanan et al., 2017).

    Args:
        made: N queries' candidates.
        targets: int64 [N].
        hidden: units of each network.
        epochs: over the queries.
        seed: of weights and order.
        networks: how many.
    """
    is_target = (made.items == targets[:, None]) & (targets[:, None] >= 0)
    kept = np.flatnonzero(is_target.any(axis=1))
    answers = torch.from_numpy(is_target[kept].argmax(axis=1))
    flat = made.features[kept][made.items[kept] >= 0]
    mean, scale = flat.mean(axis=0, dtype=np.float64), np.maximum(flat.std(axis=0, dtype=np.float64), 1e-3)
    x = torch.from_numpy(((made.features[kept] - mean) / scale).astype(np.float32))
    empty = torch.from_numpy(np.where(made.items[kept] >= 0, 0.0, -1e9).astype(np.float32))
    fitted = [_fit_one(x, empty, answers, hidden, epochs, seed * networks + number) for number in range(networks)]
    return Blend(
        mean.astype(np.float32),
        scale.astype(np.float32),
        np.concatenate([one["hidden.weight"] for one in fitted]),
        np.concatenate([one["hidden.bias"] for one in fitted]),
        (np.concatenate([one["out.weight"][0] for one in fitted]) / networks).astype(np.float32),
        np.stack([one["line.weight"][0] for one in fitted]).mean(axis=0).astype(np.float32),
    )


def _fit_one(
    x: torch.Tensor, empty: torch.Tensor, answers: torch.Tensor, hidden: int, epochs: int, seed: int
) -> dict[str, Floats]:
    """The weights of one network; features [N, Cn, F], 0 or -1e9 where empty [N, Cn], place of the target [N]."""
    torch.manual_seed(seed)
    network = _Network(hidden)
    batch = min(256, max(16, len(x) // 40))
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(x) // batch + 1))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), batch):
            optimizer.zero_grad()
            torch.autograd.backward(functional.cross_entropy(network(x[rows]) + empty[rows], answers[rows]))
            optimizer.step()
            schedule.step()
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}

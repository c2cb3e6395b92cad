"""Fused encoder and neighbours, blended by a small network that knows how often each candidate was seen.

The encoder knows rare and new items by their content but few of them by name; the neighbours know whom they were bought
with, from a handful of baskets on. Which of the two to trust follows from the item's count, so the count is a feature of
the blend and its network bends the others by it. Rare targets are few, so the loss gives them more weight: as much as the
validation items need for rare items not to fall below the neighbours, and no more.

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
from training.sessions.metrics import summary
from training.sessions.rules import by_row, candidate_ranks, item_cosine, last_items, recent, transitions

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
RARE = 5
"""Items seen fewer times than this are rare."""
WEIGHTS = (0.0, 0.2, 0.4, 0.6)
"""Powers of 1 / (times seen + 1) that are tried as a target's weight in the loss, in this order."""
TOP_K = 10


@dataclass(frozen=True)
class Candidates:
    """Items int64 [N, Cn], -1 where empty; features float32 [N, Cn, F]; neighbours' scores float32 [N, Cn]."""

    items: Ints
    features: Floats

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
            np.log(votes + 1e-2),
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


def scored(made: Candidates, blend: Blend, targets: Ints) -> NDArray[np.float64]:
    """Rank of each target by the blend, infinite if it is no candidate."""
    scores = np.where(made.items >= 0, blend.score(made.features), -np.inf).astype(np.float32)
    return candidate_ranks(made.items, scores, targets)


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


def fit(made: Candidates, targets: Ints, weights: Floats, *, hidden: int = 32, epochs: int = 14, seed: int = 0) -> Blend:
    """Listwise softmax over the candidates of the queries whose target is among them.

    Args:
        made: N queries' candidates.
        targets: int64 [N].
        weights: float32 [N], of each query in the loss.
        hidden: units.
        epochs: over the queries.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    is_target = (made.items == targets[:, None]) & (targets[:, None] >= 0)
    kept = np.flatnonzero(is_target.any(axis=1))
    answers = torch.from_numpy(is_target[kept].argmax(axis=1))
    flat = made.features[kept][made.items[kept] >= 0]
    mean, scale = flat.mean(axis=0, dtype=np.float64), np.maximum(flat.std(axis=0, dtype=np.float64), 1e-3)
    x = torch.from_numpy(((made.features[kept] - mean) / scale).astype(np.float32))
    empty = torch.from_numpy(np.where(made.items[kept] >= 0, 0.0, -1e9).astype(np.float32))
    weight = torch.from_numpy(weights[kept] / weights[kept].mean())
    network = _Network(hidden)
    batch = min(256, max(16, len(kept) // 40))
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(kept) // batch + 1))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(kept)), batch):
            optimizer.zero_grad()
            losses = functional.cross_entropy(network(x[rows]) + empty[rows], answers[rows], reduction="none")
            torch.autograd.backward((losses * weight[rows]).mean())
            optimizer.step()
            schedule.step()
    numbers = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    return Blend(
        mean.astype(np.float32),
        scale.astype(np.float32),
        numbers["hidden.weight"],
        numbers["hidden.bias"],
        numbers["out.weight"][0],
        numbers["line.weight"][0],
    )


def choose(made: Candidates, targets: Ints, counts: Ints, seed: int = 0) -> tuple[Blend, list[dict[str, Any]]]:
    """The blend with the least weight on rare targets that keeps rare items level with the neighbours.

    Each of `WEIGHTS` is fitted on two thirds of the queries and judged on the third; the chosen one is fitted on all.

    Args:
        made: candidates of the validation queries.
        targets: int64 [N].
        counts: int64 [n], times that training saw each item.
        seed: of the split and of the weights.

    Returns:
        The blend, and what was tried.
    """
    seen = counts[np.maximum(targets, 0)].astype(np.float32)
    held = np.random.default_rng(seed).random(len(targets)) < 1 / 3
    part = Candidates(made.items[~held], made.features[~held])
    rest = Candidates(made.items[held], made.features[held])
    rare = seen[held] < RARE
    near = candidate_ranks(rest.items, rest.neighbours, targets[held])
    tried: list[dict[str, Any]] = []
    for power in WEIGHTS:
        ranks = scored(rest, fit(part, targets[~held], (seen[~held] + 1) ** -power, seed=seed), targets[held])
        tried.append(
            {
                "power": power,
                **summary(ranks, TOP_K),
                "rare": summary(ranks[rare], TOP_K),
                "rare by the neighbours": summary(near[rare], TOP_K),
            }
        )
        if tried[-1]["rare"][f"recall@{TOP_K}"] >= summary(near[rare], TOP_K)[f"recall@{TOP_K}"]:
            break
    return fit(made, targets, (seen + 1) ** -tried[-1]["power"], seed=seed), tried

"""Labels and search from text, from picture and from both: one small network per question, over frozen towers.

The fusion is `fusion.fuse.Fusion`, the one that serves, with the id left out; text alone and picture alone are the same
network with the other modality never there, trained on its own. So what the table compares is the evidence.

Shapes: N products, B of them at a time, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fusion.config import FusionConfig
from fusion.fuse import Fusion, hide_modalities
from training.demo_metrics import ranks
from training.demo_pictures import cosine_schedule, descend

Ints = NDArray[np.int64]
EVIDENCE = {"text": (1.0, 0.0, 0.0), "image": (0.0, 1.0, 0.0), "text+image": (1.0, 1.0, 0.0)}


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is trained; the epoch that is best on the validation part is kept."""

    dim: int = 96
    epochs: int = 10
    batch: int = 512
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    modality_dropout: float = 0.15
    clip: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class View:
    """What is known of each product: text [N, Wt] and picture [N, Wi] of the towers."""

    text: Tensor
    image: Tensor


class Fuser(nn.Module):
    """Text and picture to one vector [B, D] of length 1."""

    def __init__(self, view: View, dim: int, evidence: str) -> None:
        super().__init__()
        self.fusion = Fusion(FusionConfig(dim=dim, text_width=view.text.shape[1], image_width=view.image.shape[1]))
        self.has = torch.tensor(EVIDENCE[evidence])
        self.dim = dim

    def forward(self, view: View, rows: Ints, hidden: float = 0.0, draw: torch.Generator | None = None) -> Tensor:
        """Vectors of some products; while training a modality is hidden with a chance."""
        has = self.has.expand(len(rows), 3)
        if draw is not None:
            has = hide_modalities(has, hidden, draw)
        nothing = torch.zeros(len(rows), self.dim)
        fused: Tensor = self.fusion(view.text[rows], view.image[rows], nothing, has).fused
        return fused


def _optimizer(
    parts: nn.Module, recipe: HeadRecipe, rows: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    optimizer = torch.optim.AdamW(parts.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return optimizer, cosine_schedule(optimizer, recipe.epochs * -(-rows // recipe.batch), 0.1)


def label(
    views: list[View], clean: View, labels: Mapping[str, Ints], parts: Mapping[str, Ints], evidence: str, recipe: HeadRecipe
) -> dict[str, dict[str, float]]:
    """Learn all labels at once and measure them.

    Args:
        views: what training sees of the products, one of these at a time.
        clean: what is judged.
        labels: by question, int64 [N].
        parts: rows of train, validation and test.
        evidence: of `EVIDENCE`.
        recipe: how.

    Returns:
        By question the accuracy on the test part and its mean over the classes there.
    """
    torch.manual_seed(recipe.seed)
    fuser = Fuser(clean, recipe.dim, evidence)
    heads = nn.ModuleDict({name: nn.Linear(recipe.dim, int(values.max()) + 1) for name, values in labels.items()})
    sharpness = nn.Parameter(torch.tensor(12.0))
    whole = nn.ModuleList([fuser, heads, nn.ParameterList([sharpness])])
    optimizer, schedule = _optimizer(whole, recipe, len(parts["train"]))
    draw, rng = torch.Generator().manual_seed(recipe.seed), np.random.default_rng(recipe.seed)
    answers = {name: torch.from_numpy(values) for name, values in labels.items()}

    @torch.no_grad()
    def judge(part: str) -> dict[str, dict[str, float]]:
        vectors = fuser(clean, parts[part])
        said = {name: head(sharpness * vectors).argmax(-1).numpy() for name, head in heads.items()}
        return {name: _accuracy(said[name], labels[name][parts[part]]) for name in labels}

    best, kept = -1.0, judge("test")
    for epoch in range(recipe.epochs):
        view = views[epoch % len(views)]
        for rows in np.array_split(rng.permutation(parts["train"]), -(-len(parts["train"]) // recipe.batch)):
            vectors = sharpness * fuser(view, rows, recipe.modality_dropout, draw)
            losses = [functional.cross_entropy(head(vectors), answers[name][rows]) for name, head in heads.items()]
            descend(torch.stack(losses).sum(), optimizer, schedule, recipe.clip)
        reached = sum(figures["accuracy"] for figures in judge("validation").values())
        if reached > best:
            best, kept = reached, judge("test")
    return kept


def _accuracy(said: Ints, wanted: Ints) -> dict[str, float]:
    per_class = [float((said[wanted == kind] == kind).mean()) for kind in np.unique(wanted)]
    return {"accuracy": float((said == wanted).mean()), "mean over classes": float(np.mean(per_class))}


def search(
    queries: list[View], query: View, shelf: Tensor, parts: Mapping[str, Ints], evidence: str, recipe: HeadRecipe
) -> dict[str, float]:
    """Learn to find a product on a shelf and measure it.

    Args:
        queries: what training has in hand of the products, one of these at a time.
        query: what is in hand when it is judged.
        shelf: [N, W], what the shelf shows: all photos, or all titles.
        parts: rows of train, validation and test; the shelf of a part holds its products only.
        evidence: of `EVIDENCE`, what of a query counts.
        recipe: how.

    Returns:
        Recall@1, Recall@10 and MRR on the test part; products that look the same on the shelf tie.
    """
    torch.manual_seed(recipe.seed)
    fuser = Fuser(query, recipe.dim, evidence)
    width = shelf.shape[1]
    places = nn.Sequential(nn.Linear(width, 2 * recipe.dim), nn.GELU(), nn.Linear(2 * recipe.dim, recipe.dim))
    temperature = nn.Parameter(torch.tensor(2.6))
    whole = nn.ModuleList([fuser, places, nn.ParameterList([temperature])])
    optimizer, schedule = _optimizer(whole, recipe, len(parts["train"]))
    draw, rng = torch.Generator().manual_seed(recipe.seed), np.random.default_rng(recipe.seed)

    @torch.no_grad()
    def judge(part: str) -> dict[str, float]:
        rows = parts[part]
        scores = fuser(query, rows) @ functional.normalize(places(shelf[rows]), dim=-1).T
        return found(scores.numpy())

    best, kept = -1.0, judge("test")
    for epoch in range(recipe.epochs):
        view = queries[epoch % len(queries)]
        for rows in np.array_split(rng.permutation(parts["train"]), -(-len(parts["train"]) // recipe.batch)):
            asked, shown = fuser(view, rows, recipe.modality_dropout, draw), functional.normalize(places(shelf[rows]), dim=-1)
            scores = temperature.exp().clamp_max(60.0) * asked @ shown.T
            # Another product that looks the same on the shelf is no wrong answer.
            same = (functional.normalize(shelf[rows], dim=-1) @ functional.normalize(shelf[rows], dim=-1).T) > 0.9999
            scores = scores.masked_fill(same & ~torch.eye(len(rows), dtype=torch.bool), -1e9)
            own = torch.arange(len(rows))
            loss = functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
            descend(loss, optimizer, schedule, recipe.clip)
        reached = judge("validation")["MRR"]
        if reached > best:
            best, kept = reached, judge("test")
    return kept


def found(scores: NDArray[np.float32]) -> dict[str, float]:
    """Measures of scores [N, N] whose diagonal is right; ties take the middle rank."""
    place = ranks(np.round(scores, 5), np.arange(len(scores)))
    return {"Recall@1": float((place <= 1).mean()), "Recall@10": float((place <= 10).mean()), "MRR": float((1 / place).mean())}

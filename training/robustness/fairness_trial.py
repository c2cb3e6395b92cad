"""Who gets the exposure of the demo shop's pages, and what the exposure rule changes at what price."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.exposure import lifted, rarity
from streams.refresh import POOL
from training.demo_pages import PLACES
from training.robustness.exposure import by_group, deciles, exposure, gini
from training.robustness.served_shop import Asked, Served

Ints = NDArray[np.int64]
STRENGTHS = (0.0, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)


def reordered(pages: Ints, popularity: NDArray[np.float32], sellers: list[str], strength: float) -> Ints:
    """Pools [N, M] after the rule, first `PLACES` of them [N, PLACES]; the very function of serving."""
    result = np.empty((len(pages), PLACES), dtype=np.int64)
    for row, pool in enumerate(pages):
        items = pool[pool >= 0]
        rare = rarity(popularity[items].tolist(), [sellers[item] for item in items])
        result[row] = items[lifted(rare, strength)[:PLACES]]
    return result


def run(served: Served, asked: Asked, step: Callable[[str], None]) -> dict[str, Any]:
    """Gini, NDCG@10 and exposure by popularity decile and by seller, at each strength of the rule."""
    is_open = served.shelf.is_open
    popularity = np.array([fact.popularity for fact in served.facts], dtype=np.float32)
    sellers = [str(brand) for brand in served.shelf.brand]
    group = deciles(popularity[is_open])
    relevance = np.bincount(asked.targets, minlength=len(popularity)).astype(np.float64)
    rows = []
    for strength in STRENGTHS:
        step(f"exposure rule {strength}")
        pages = reordered(asked.candidates[:, : POOL * PLACES], popularity, sellers, strength)
        seen = exposure(pages, len(popularity))
        by_seller = np.bincount(served.shelf.brand, weights=seen)
        by_decile = by_group(group, seen[is_open])[0]
        rows.append(
            {
                "strength": strength,
                "ndcg@10": asked.ndcg(pages),
                "gini": gini(seen[is_open]),
                "gini_by_decile": gini(np.array(by_decile)),
                "gini_by_seller": gini(by_seller / np.bincount(served.shelf.brand, weights=is_open.astype(float)).clip(1)),
                "items_shown": int((seen > 0).sum()),
                "deciles": by_decile,
                "sellers": (by_seller / by_seller.sum()).tolist(),
            }
        )
    catalogue = np.ones(len(popularity)) * is_open
    return {
        "queries": len(asked.targets),
        "open_items": int(is_open.sum()),
        "rows": rows,
        "deciles": dict(zip(("catalogue", "relevance"), by_group(group, catalogue[is_open], relevance[is_open]), strict=True)),
        "sellers": dict(zip(("catalogue", "relevance"), by_group(served.shelf.brand, catalogue, relevance), strict=True)),
    }

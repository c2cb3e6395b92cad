"""Candidate features: one NumPy function that training and serving both call, so that they cannot drift apart.

Shapes: n items of the table, B sessions, N candidates of each, W ring, D width, F features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.catalog import CatalogItem
from contracts.keys import category_key, item_key

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FEATURES = (
    "logit",  # query · fused
    "pointer",  # the encoder's bonus for items of the ring, at the newest place
    "in_ring",
    "recency",  # 1 / (1 + newest place in the ring), 0 outside of it
    "fused_to_last",  # cosines to the newest item of the ring
    "text_to_last",
    "image_to_last",
    "behaviour_to_last",
    "text_to_ring",  # cosines to the direction of the ring's mean
    "image_to_ring",
    "behaviour_to_ring",
    "same_category_as_last",
    "category_share",  # share of the ring in the candidate's category
    "department_share",  # and in its top-level category
    "price_ratio",  # log price minus the ring's mean log price
    "price_distance",  # its size
    "popularity",  # log(1 + number of ratings)
    "rating",  # average rating minus 3, 0 if nobody rated
    "discount",  # log(original price / price)
    "has_behaviour",
    "events",  # log(1 + decayed number of events)
)
WIDTH = len(FEATURES)


class ItemFacts(NamedTuple):
    """What the features need of a catalogue item besides its vectors."""

    department: int
    category: int
    log_price: float
    popularity: float
    rating: float
    discount: float


def facts_of(item: CatalogItem) -> ItemFacts:
    """Facts of one item; an unknown price is NaN, other unknown numbers are 0."""
    path = item.categories[0] if item.categories else ""
    price = math.log(item.price) if item.price else math.nan
    rated = item.rating is not None and item.rating.rating_count > 0
    discount = math.log(item.original_price / item.price) if item.price and item.original_price else 0.0
    return ItemFacts(
        department=category_key(item.tenant_id, path),
        category=item_key(item.tenant_id, f"category {path}") if path else 0,
        log_price=price,
        popularity=math.log1p(item.rating.rating_count) if item.rating else 0.0,
        rating=item.rating.average_rating - 3.0 if item.rating and rated else 0.0,
        discount=max(discount, 0.0),
    )


@dataclass(frozen=True)
class ItemTable:
    """Items as arrays, one row each.

    Attributes:
        fused: float32 [n, D], L2 norm 1.
        text: float32 [n, D], L2 norm 1 or 0 where missing.
        image: float32 [n, D], likewise.
        behaviour: float32 [n, D], likewise; see :func:`behaviour_part`.
        facts: float64 columns and int64 columns of :class:`ItemFacts`, by name, [n] each.
    """

    fused: Floats
    text: Floats
    image: Floats
    behaviour: Floats
    department: Ints
    category: Ints
    log_price: Floats
    popularity: Floats
    rating: Floats
    discount: Floats


@dataclass(frozen=True)
class SessionRows:
    """Sessions as the encoder leaves them.

    Attributes:
        query: float32 [B, D], times tau.
        pointer: float32 [B, W].
        ring: int64 [B, W], rows of the item table, newest first; -1 where empty or unknown.
        events: float32 [B], decayed number of events: the state's last number, z2.
    """

    query: Floats
    pointer: Floats
    ring: Ints
    events: Floats


def fact_columns(facts: list[ItemFacts]) -> dict[str, NDArray[Any]]:
    """Columns for :class:`ItemTable` by name, int64 keys and float32 numbers, [n] each."""
    integers = {"department", "category"}
    return {
        name: np.array([getattr(fact, name) for fact in facts], dtype=np.int64 if name in integers else np.float32)
        for name in ItemFacts._fields
    }


def behaviour_part(fused: Floats, text: Floats, image: Floats, weights: Floats) -> Floats:
    """Unit behaviour vectors [n, D] out of what an embedding record holds; zeros where there is no behaviour.

    Since fused = sum of weight · vector, the rest beside text and image is behaviour.
    """
    rest = fused - weights[:, :1] * text - weights[:, 1:2] * image
    length = np.linalg.norm(rest, axis=-1, keepdims=True)
    present = (weights[:, 2:] > 0) & (length > 0)
    return np.asarray(np.where(present, rest / np.where(length > 0, length, 1.0), 0.0), dtype=np.float32)


def _dots(candidates: Floats, one: Floats, other: Floats) -> Floats:
    """[B, N, D] with [B, D] and [B, D] -> [B, N, 2]; a product for each session, so that none depends on its batch."""
    both: Floats = np.matmul(candidates, np.stack((one, other), axis=-1))
    return both


def _direction(vectors: Floats, mask: Floats) -> Floats:
    """Direction [B, D] of the sum of the masked [B, W, D]; zeros if nothing is there."""
    total = (vectors * mask[:, :, None]).sum(axis=1)
    length = np.sqrt((total * total).sum(axis=-1, keepdims=True))
    return np.asarray(total / np.maximum(length, 1e-6), dtype=np.float32)


def _share(mine: Ints, theirs: Ints, mask: Floats, fill: Floats) -> Floats:
    """Share [B, N] of the ring [B, W] that equals each candidate [B, N]."""
    matches = (mine[:, :, None] == theirs[:, None, :]).astype(np.float32)
    return np.asarray(np.matmul(matches, mask[:, :, None])[..., 0] / fill, dtype=np.float32)


def candidate_features(sessions: SessionRows, items: ItemTable, candidates: Ints) -> Floats:
    """Features of each candidate of each session.

    Args:
        sessions: B sessions.
        items: the table that `candidates` and `sessions.ring` point into.
        candidates: int64 [B, N], rows of the table.

    Returns:
        float32 [B, N, F], columns as in `FEATURES`. A row's bits depend on its own session and candidates only.
    """
    ring = sessions.ring
    mask = (ring >= 0).astype(np.float32)
    rows = np.maximum(ring, 0)
    has_last = mask[:, :1]
    fill = np.maximum(mask.sum(axis=1), 1.0)[:, None]
    out = np.zeros((*candidates.shape, WIDTH), dtype=np.float32)

    fused = items.fused[candidates]
    last = items.fused[rows[:, 0]] * has_last
    out[..., (0, 4)] = _dots(fused, sessions.query, last)
    hits = (candidates[:, :, None] == ring[:, None, :]) & (mask[:, None, :] > 0)  # [B, N, W]
    inside = hits.any(axis=-1)
    newest = hits.argmax(axis=-1)
    out[..., 1] = np.where(inside, np.take_along_axis(sessions.pointer, newest, axis=1), 0.0)
    out[..., 2] = inside
    out[..., 3] = inside / (1.0 + newest)
    for column, vectors in enumerate((items.text, items.image, items.behaviour)):
        mine, theirs = vectors[candidates], vectors[rows]
        out[..., (5 + column, 8 + column)] = _dots(mine, theirs[:, 0] * has_last, _direction(theirs, mask))
    out[..., 19] = np.einsum("bnd,bnd->bn", mine, mine) > 0
    _describe(out, items, candidates, rows, mask, fill)
    out[..., 20] = np.log1p(sessions.events)[:, None]
    return out


def _describe(out: Floats, items: ItemTable, candidates: Ints, rows: Ints, mask: Floats, fill: Floats) -> None:
    """Fill the columns 11–18, which compare catalogue facts."""
    category = items.category[candidates]
    out[..., 11] = (category == items.category[rows[:, :1]]) * mask[:, :1]
    out[..., 12] = _share(category, items.category[rows], mask, fill)
    department = items.department[candidates]
    out[..., 13] = _share(department, items.department[rows], mask, fill)
    prices = items.log_price[rows]
    known = mask * np.isfinite(prices).astype(np.float32)
    mean = (np.nan_to_num(prices) * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1.0)
    ratio = np.where(known.sum(axis=1)[:, None] > 0, np.nan_to_num(items.log_price[candidates] - mean[:, None]), 0.0)
    out[..., 14] = ratio
    out[..., 15] = np.abs(ratio)
    out[..., 16] = items.popularity[candidates]
    out[..., 17] = items.rating[candidates]
    out[..., 18] = items.discount[candidates]

"""Candidate features: right by hand, alone or in a batch, in training and in serving."""

from __future__ import annotations

import math

import numpy as np
import pytest

from contracts.catalog import CatalogItem, Rating
from fusion.features import (
    FEATURES,
    WIDTH,
    Floats,
    ItemTable,
    SessionRows,
    behaviour_part,
    candidate_features,
    fact_columns,
    facts_of,
)

D, W, N = 16, 10, 40


def unit(rng: np.random.Generator, count: int) -> Floats:
    vectors = rng.standard_normal((count, D)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def item(number: int, category: str = "A > B", price: float | None = 10.0, ratings: int = 0) -> CatalogItem:
    return CatalogItem(
        item_id=f"i{number}", title="t", categories=(category,), price=price, original_price=price and price * 2,
        rating=Rating(average_rating=4.5, rating_count=ratings),
    )  # fmt: skip


@pytest.fixture
def items() -> ItemTable:
    rng = np.random.default_rng(1)
    weights = np.array([[0.5, 0.4, 0.3]] * (N - 5) + [[0.8, 0.5, 0.0]] * 5, dtype=np.float32)
    text, image, behaviour = unit(rng, N), unit(rng, N), unit(rng, N)
    fused = weights[:, :1] * text + weights[:, 1:2] * image + weights[:, 2:] * behaviour
    facts = [facts_of(item(n, f"{'AB'[n % 2]} > {n % 4}", 5.0 + n if n % 7 else None, n * 3)) for n in range(N)]
    return ItemTable(fused, text, image, behaviour_part(fused, text, image, weights), **fact_columns(facts))


def sessions(batch: int, seed: int = 2) -> SessionRows:
    rng = np.random.default_rng(seed)
    ring = rng.integers(0, N, (batch, W))
    ring[np.arange(W) >= rng.integers(0, W + 1, batch)[:, None]] = -1
    return SessionRows(
        query=14 * unit(rng, batch),
        pointer=rng.standard_normal((batch, W)).astype(np.float32),
        ring=ring,
        events=rng.random(batch).astype(np.float32) * 9,
    )


def column(features: Floats, name: str) -> Floats:
    return features[..., FEATURES.index(name)]


def test_a_session_has_the_same_bits_alone_and_in_any_batch(items: ItemTable) -> None:
    rows, candidates = sessions(16), np.random.default_rng(3).integers(0, N, (16, 128))
    whole = candidate_features(rows, items, candidates)
    for size in (1, 2, 3, 7):
        for start in range(0, 16 - size + 1, size):
            part = slice(start, start + size)
            some = SessionRows(rows.query[part], rows.pointer[part], rows.ring[part], rows.events[part])
            assert candidate_features(some, items, candidates[part]).tobytes() == whole[part].tobytes()


def test_every_feature_is_what_its_name_says_computed_by_hand(items: ItemTable) -> None:
    rows, candidates = sessions(6, seed=5), np.tile(np.arange(N), (6, 1))
    features = candidate_features(rows, items, candidates)
    assert features.shape == (6, N, WIDTH)
    assert np.isfinite(features).all()
    for b in range(6):
        ring = [int(row) for row in rows.ring[b] if row >= 0]
        for c in range(N):
            got = dict(zip(FEATURES, features[b, c].tolist(), strict=True))
            assert got["logit"] == pytest.approx(float(rows.query[b] @ items.fused[c]), abs=1e-4)
            assert got["in_ring"] == (c in ring)
            place = ring.index(c) if c in ring else None
            assert got["pointer"] == pytest.approx(float(rows.pointer[b, place]) if place is not None else 0.0)
            assert got["recency"] == pytest.approx(1 / (1 + place) if place is not None else 0.0)
            assert got["events"] == pytest.approx(math.log1p(rows.events[b]), rel=1e-5)
            assert got["has_behaviour"] == (c < N - 5)
            if not ring:
                assert got["fused_to_last"] == got["text_to_ring"] == got["category_share"] == got["price_ratio"] == 0
                continue
            mean = items.text[ring].sum(0)
            assert got["text_to_ring"] == pytest.approx(float(items.text[c] @ mean / np.linalg.norm(mean)), abs=1e-4)
            assert got["image_to_last"] == pytest.approx(float(items.image[c] @ items.image[ring[0]]), abs=1e-5)
            assert got["same_category_as_last"] == (c % 4 == ring[0] % 4)
            assert got["category_share"] == pytest.approx(np.mean([c % 4 == row % 4 for row in ring]))
            assert got["department_share"] == pytest.approx(np.mean([c % 2 == row % 2 for row in ring]))
            prices = [math.log(5.0 + row) for row in ring if row % 7]
            wanted = math.log(5.0 + c) - np.mean(prices) if prices and c % 7 else 0.0
            assert got["price_ratio"] == pytest.approx(wanted, abs=1e-5)
            assert got["price_distance"] == pytest.approx(abs(wanted), abs=1e-5)
            assert got["popularity"] == pytest.approx(math.log1p(3 * c), rel=1e-5)


def test_an_embedding_record_gives_back_the_behaviour_vector(items: ItemTable) -> None:
    assert np.linalg.norm(items.behaviour[: N - 5], axis=1) == pytest.approx(np.ones(N - 5), abs=1e-5)
    assert not items.behaviour[N - 5 :].any()


def test_facts_of_an_item_without_price_rating_or_category_are_neutral() -> None:
    facts = facts_of(CatalogItem(item_id="x", title="t"))
    assert math.isnan(facts.log_price)
    assert (facts.department, facts.category, facts.popularity, facts.rating, facts.discount) == (0, 0, 0.0, 0.0, 0.0)


def test_facts_tell_popularity_rating_and_discount() -> None:
    facts = facts_of(item(1, ratings=9))
    assert facts.popularity == pytest.approx(math.log(10))
    assert facts.rating == pytest.approx(1.5)
    assert facts.discount == pytest.approx(math.log(2))


def test_same_category_needs_a_newest_item_and_names_are_unique(items: ItemTable) -> None:
    rows = sessions(1)
    empty = SessionRows(rows.query, rows.pointer, np.full((1, W), -1), rows.events)
    features = candidate_features(empty, items, np.arange(N)[None])
    assert not column(features, "same_category_as_last").any()
    assert len(set(FEATURES)) == WIDTH

"""Laws of the exposure rule."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, ItemEmbedding, Rating, encode
from contracts.keys import message_key
from contracts.recommendations import decode_page
from contracts.settings import Settings
from monitoring.metrics import WorkerMetrics
from streams.batch import Incoming, fold
from streams.exposure import lifted, rarity
from streams.refresh import Refresher
from streams.sessions import SessionState
from tests.fakes import FakeRanker, ManualClock, event_bytes, keys_of, view_of

NOW = 1_800_000_000_000

SHARES = st.floats(0, 1)
POOLS = st.lists(st.tuples(st.floats(0, 12), st.sampled_from(["", "Acme", "Birk", "Cole"])), max_size=60)


def rare_of(pool: list[tuple[float, str]]) -> list[float]:
    return rarity([popularity for popularity, _ in pool], [seller for _, seller in pool])


@given(POOLS, st.floats(0, 0.95))
def test_the_lift_is_a_permutation_in_which_no_place_changes_by_more_than_its_factor(
    pool: list[tuple[float, str]], strength: float
) -> None:
    order = lifted(rare_of(pool), strength)
    assert sorted(order) == list(range(len(pool)))
    for new, old in enumerate(order, start=1):
        assert new >= (old + 1) * (1 - strength) - 1e-9
        assert new <= (old + 1) / (1 - strength) + 1e-9


@given(POOLS)
def test_switched_off_it_keeps_the_ranker_s_order(pool: list[tuple[float, str]]) -> None:
    assert lifted(rare_of(pool), 0.0) == list(range(len(pool)))


@given(POOLS)
def test_rarity_is_a_share_and_equal_candidates_are_equally_rare(pool: list[tuple[float, str]]) -> None:
    rare = rare_of(pool)
    assert all(0.0 <= value <= 1.0 for value in rare)
    seen = dict(zip(pool, rare, strict=True))
    assert all(seen[candidate] == value for candidate, value in zip(pool, rare, strict=True))


def test_a_rare_product_of_a_rare_seller_passes_popular_ones_of_the_common_seller() -> None:
    pool = [(9.0, "Acme"), (8.0, "Acme"), (7.0, "Acme"), (0.5, "Birk")]
    assert lifted(rare_of(pool), 1.0)[0] == 3
    assert lifted(rare_of(pool), 0.1) == [0, 1, 2, 3]


def page(exposure: float, known: dict[str, tuple[int, str]]) -> list[str]:
    """Items of a page of 20 candidates, best first, of which some have ratings and a seller."""
    view = view_of(20)
    for item_id, (count, seller) in known.items():
        item = CatalogItem(item_id=item_id, title="", rating=Rating(4.0, count), brands=(seller,))
        record = ItemEmbedding(item_id=item_id, tenant_id="default", model_version=1, dim=1, fused=(1.0,), item=item)
        view.apply(message_key("default", item_id), encode(record))
    settings = Settings()
    refresher = Refresher(
        FakeRanker(keys_of(20)),
        view,
        ManualClock(NOW),
        settings.session,
        settings.page.model_copy(update={"exposure": exposure, "diversity": 0.0}),
        "pages",
        WorkerMetrics.create(CollectorRegistry()),
    )
    key, value = event_bytes("v", 1, NOW)
    states: dict[bytes, SessionState | None] = {}
    batch = fold([Incoming(0, 0, key, value, NOW)], states.get, settings.session, events_topic="e", dead_letter_topic="d")
    (made,) = asyncio.run(refresher.refresh(batch, NOW / 1000, dict.fromkeys(batch.visits, 0.0)))
    return [item.item_id for item in decode_page(made.page.value or b"").placements[0].items]


def test_the_setting_lets_a_small_seller_s_product_pass_a_famous_one_and_off_changes_nothing() -> None:
    plain = page(0.0, {})
    known = dict.fromkeys(plain[3:12], (0, "Acme")) | {plain[0]: (5000, "Acme"), plain[1]: (0, "Birk")}
    assert page(0.0, known) == plain
    changed = page(0.9, known)
    assert changed == page(0.9, known)
    assert changed[0] == plain[1]
    assert set(changed[1:4]) >= {plain[0]}

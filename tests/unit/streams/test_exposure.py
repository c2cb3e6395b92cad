"""Laws of the exposure rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.exposure import lifted, rarity

SHARES = st.floats(0, 1)
POOLS = st.lists(st.tuples(st.floats(0, 12), st.sampled_from(["", "Acme", "Birk", "Cole"])), max_size=60)


def rare_of(pool: list[tuple[float, str]]) -> list[float]:
    return rarity([popularity for popularity, _ in pool], [seller for _, seller in pool])


@given(POOLS, SHARES, st.integers(1, 40))
def test_the_lift_is_a_permutation_that_moves_nobody_further_than_its_reach(
    pool: list[tuple[float, str]], strength: float, reach: int
) -> None:
    order = lifted(rare_of(pool), strength, reach)
    assert sorted(order) == list(range(len(pool)))
    assert all(abs(new - old) <= strength * reach for new, old in enumerate(order))


@given(POOLS, st.integers(1, 40))
def test_switched_off_it_keeps_the_ranker_s_order(pool: list[tuple[float, str]], reach: int) -> None:
    assert lifted(rare_of(pool), 0.0, reach) == list(range(len(pool)))


@given(POOLS, SHARES)
def test_the_same_candidates_give_the_same_page(pool: list[tuple[float, str]], strength: float) -> None:
    assert lifted(rare_of(pool), strength, 12) == lifted(rare_of(list(pool)), strength, 12)


@given(POOLS)
def test_rarity_is_a_share_and_equal_candidates_are_equally_rare(pool: list[tuple[float, str]]) -> None:
    rare = rare_of(pool)
    assert all(0.0 <= value <= 1.0 for value in rare)
    seen = dict(zip(pool, rare, strict=True))
    assert all(seen[candidate] == value for candidate, value in zip(pool, rare, strict=True))


def test_a_rare_product_of_a_rare_seller_passes_popular_ones_of_the_common_seller() -> None:
    pool = [(9.0, "Acme"), (8.0, "Acme"), (7.0, "Acme"), (0.5, "Birk")]
    assert lifted(rare_of(pool), 1.0, 4)[0] == 3
    assert lifted(rare_of(pool), 0.1, 4) == [0, 1, 2, 3]

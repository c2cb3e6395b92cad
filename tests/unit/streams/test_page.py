"""The rules: diversity, exclusion, reasons, tokens."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import decode_item
from contracts.errors import ContractError
from contracts.keys import category_key, item_key, message_key, tenant_key
from contracts.tensors import Candidate
from streams.items import ItemView, card_of
from streams.page import Scored, attribution_token, mixed, popular, read_token, reasons, recommendation_id, showable
from tests.fakes import catalog_record, keys_of, view_of

NOW = 1_800_000_000_000


ranked = st.lists(st.tuples(st.sampled_from("ABC"), st.floats(0.001, 1)), max_size=30).map(
    lambda pairs: sorted(pairs, key=lambda pair: -pair[1])
)
Ranked = list[tuple[str, float]]


def mix(found: Ranked, size: int, diversity: float) -> list[int]:
    return mixed([category for category, _ in found], [score for _, score in found], size, diversity)


def plain_mmr(found: Ranked, size: int, diversity: float) -> list[int]:
    """The definition, candidate by candidate: what the fast one must equal."""
    left, chosen = list(range(len(found))), list[int]()
    while left and len(chosen) < size:
        last = found[chosen[-1]][0] if chosen else None
        shown = [found[place][0] for place in chosen]

        worth = (1 - diversity) / max(found[0][1], 1e-9)
        repeat = {category: shown.count(category) / max(len(shown), 1) for category, _ in found} | {last: 1.0}
        values = [(worth * found[place][1] - diversity * repeat[found[place][0]], -place) for place in left]
        best = -max(values)[1]
        left.remove(best)
        chosen.append(best)
    return chosen


@given(ranked, st.integers(1, 12), st.floats(0.01, 1))
def test_mixing_equals_its_definition(found: Ranked, size: int, diversity: float) -> None:
    assert mix(found, size, diversity) == plain_mmr(found, size, diversity)


@given(ranked, st.integers(1, 12), st.floats(0, 1))
def test_mixing_chooses_as_many_as_there_are_and_none_twice(found: Ranked, size: int, diversity: float) -> None:
    chosen = mix(found, size, diversity)
    assert len(set(chosen)) == len(chosen) == min(size, len(found))


@given(ranked)
def test_without_diversity_the_order_of_the_ranker_stays(found: Ranked) -> None:
    assert mix(found, 12, 0.0) == list(range(min(12, len(found))))


@given(ranked)
def test_with_full_diversity_no_category_follows_itself_while_others_are_left(found: Ranked) -> None:
    chosen = [found[place][0] for place in mix(found, len(found) or 1, 1.0)]
    for place in range(1, len(chosen)):
        if chosen[place] == chosen[place - 1]:
            assert set(chosen[place:]) == {chosen[place]}


def test_within_a_category_the_better_item_comes_first() -> None:
    found = [("A", 0.9), ("B", 0.8), ("A", 0.7), ("B", 0.1)]
    assert [place for place in mix(found, 4, 0.5) if found[place][0] == "A"] == [0, 2]


def test_hidden_unknown_and_repeated_candidates_are_not_shown() -> None:
    view, keys = view_of(4), keys_of(4)
    found = showable(view, [keys[0], 12345, keys[1], keys[1], keys[2], 0], {keys[2]}, NOW, 9)
    assert [(position, card.item_id) for position, card in found] == [(0, "i0"), (2, "i1")]


@pytest.mark.parametrize(
    "fields",
    [{"availability": "OUT_OF_STOCK"}, {"available_quantity": 0}, {"expire_time": NOW}, {"available_time": NOW + 1}],
)
def test_what_cannot_be_sold_now_is_not_shown(fields: dict[str, Any]) -> None:
    view = ItemView()
    view.apply(*catalog_record("gone", **fields))
    view.apply(*catalog_record("there"))
    tenant = tenant_key("default")
    assert [c.card.item_id for c in popular(view, tenant, 0, set(), NOW, 9)] == ["there"]


def test_a_deleted_item_leaves_the_view() -> None:
    view = ItemView()
    key, value = catalog_record("x")
    view.apply(key, value)
    assert view.knows("default", "x")
    view.apply(key, None)
    assert not view.knows("default", "x")


def test_the_fallback_prefers_the_category_and_fills_with_the_rest() -> None:
    view = view_of(8)
    chosen = popular(view, tenant_key("default"), category_key("default", "B > 1"), set(), NOW, 5)
    assert chosen[0].card.category.startswith("B")
    assert len(chosen) == 5


def test_a_tenant_never_sees_the_items_of_another() -> None:
    assert popular(view_of(8), tenant_key("other"), 0, set(), NOW, 5) == []


def test_reasons_name_the_strongest_modality() -> None:
    card = card_of(catalog_record("x")[1])
    assert reasons(Scored(card, 0.5, Candidate.ANN_FUSED, (0.1, 0.8, 0.1))) == ("Looks like",)
    assert reasons(Scored(card, 0.5, Candidate.POPULAR)) == ("Popular item",)
    dropped = card_of(catalog_record("x", price=5.0, original_price=9.0)[1])
    assert "Price drop" in reasons(Scored(dropped, 0.5, Candidate.EXPLORATION, (1.0, 0.0, 0.0)))


def test_a_page_made_again_has_the_same_id_and_another_offset_another() -> None:
    first = recommendation_id(b"default|v", 1, 2, 3)
    assert first == recommendation_id(b"default|v", 1, 2, 3) != recommendation_id(b"default|v", 1, 3, 3)
    assert (uuid.UUID(first).version, uuid.UUID(first).variant) == (8, uuid.RFC_4122)


def test_a_token_can_be_read_by_its_maker_only() -> None:
    token = attribution_token("id", 7, ("rank:B",), b"secret")
    assert read_token(token, b"secret") == ("id", 7, ("rank:B",))
    assert read_token(token, b"other") is None
    assert read_token(token[:-3] + "AAA", b"secret") is None
    assert read_token("at_!", b"secret") is None


def test_a_token_fits_into_the_event_that_brings_it_back() -> None:
    experiments = tuple(f"{number}:{'x' * 250}" for number in range(32))
    token = attribution_token(recommendation_id(b"default|v", 1, 2, 3), 2**31, experiments, b"secret")
    assert len(token) <= 512
    identity, version, (digest,) = read_token(token, b"secret") or ("", 0, ("",))
    assert (identity, version) == (recommendation_id(b"default|v", 1, 2, 3), 2**31)
    other = attribution_token(identity, version, experiments[1:], b"secret")
    assert digest.startswith("#")
    assert other != token


def test_only_items_of_the_catalogue_are_counted_and_only_while_they_are_in_it() -> None:
    view = view_of(2)
    first, unknown = keys_of(2)[0], item_key("default", "mistyped")
    for key in (first, first, unknown):
        view.touch(key)
    assert dict(view.touches) == {first: 2.0}
    view.apply(message_key("default", "i0"), None)
    assert dict(view.touches) == {}


def test_a_rating_count_beyond_every_number_is_refused_by_name() -> None:
    item = b'{"item_id":"i","title":"t","rating":{"average_rating":4,"rating_count":1' + b"0" * 400 + b"}}"
    with pytest.raises(ContractError, match="rating_count"):
        decode_item(item)

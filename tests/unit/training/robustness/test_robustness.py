"""Wrong texts, pictures and clicks; bots; stuffing; exposure: each on data whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shop.catalog import catalog_item, products
from training.robustness.bots import BotFilter
from training.robustness.click_trial import Learned, Log, bots, chance_clicks, cut_out
from training.robustness.exposure import by_group, deciles, exposure, gini
from training.robustness.fairness_trial import reordered
from training.robustness.wrong_clicks import boosters, crawlers, mixed_in, with_chance_clicks
from training.robustness.wrong_pictures import blurred, noisy, occluded
from training.robustness.wrong_text import TITLE_WORDS, frequent_words, plain_title, stuffed, typos
from training.sessions.data import Ints, Queries, prefixes_of

ITEMS = 60


def walks(count: int, seed: int) -> list[Ints]:
    rng = np.random.default_rng(seed)
    return [
        (start + np.arange(int(length))) % ITEMS
        for start, length in zip(rng.integers(0, ITEMS, count), rng.integers(3, 7, count), strict=True)
    ]


def test_typing_errors_spare_short_words_and_change_about_as_many_as_asked() -> None:
    text = " ".join(["wool", "scarf", "red", "of"] * 100)
    words = typos(text, np.random.default_rng(1), 0.5).split()
    assert len(words) == 400
    changed = [before != after for before, after in zip(text.split(), words, strict=True)]
    assert not any(changed[2::4])
    assert not any(changed[3::4])
    assert 70 < sum(changed) < 130


def test_pictures_are_changed_by_the_asked_amount() -> None:
    rng = np.random.default_rng(2)
    flat = np.full((4, 32, 32, 3), 100, np.uint8)
    assert 18 < noisy(flat, rng, 20.0).std() < 22
    hidden = occluded(np.zeros((4, 32, 32, 3), np.uint8), rng, 0.25)
    assert hidden.shape == flat.shape
    assert (hidden == 128).mean(axis=(1, 2, 3)) == pytest.approx(0.25)
    edge = np.zeros((1, 32, 32, 3), np.uint8)
    edge[:, :, 16:] = 200
    assert 60 < blurred(edge, 2.0)[0, 16, 15, 0] < 140
    assert np.array_equal(blurred(flat, 2.0), flat)


def test_chance_clicks_are_put_between_the_own_ones_which_stay_in_order() -> None:
    queries = Queries(np.tile(np.arange(100, 108), (300, 1)), np.zeros(300, np.int64))
    noisy_queries = with_chance_clicks(queries, 0.5, 50, np.random.default_rng(3))
    for row in noisy_queries.items:
        assert row[row >= 100].tolist() == list(range(100, 108))
    foreign = ((noisy_queries.items >= 0) & (noisy_queries.items < 50)).sum() / (noisy_queries.items >= 0).sum()
    assert foreign == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError, match=r"share is 1\.0"):
        with_chance_clicks(queries, 1.0, 50, np.random.default_rng(3))


def test_the_filter_catches_both_kinds_of_bots_and_no_person() -> None:
    rng = np.random.default_rng(4)
    people = walks(400, 1)
    sessions, label = mixed_in(people, crawlers(20, ITEMS, rng) + boosters(20, [1, 2], 9, rng), rng)
    believed = BotFilter.learn(sessions)
    flagged = np.array([believed.is_bot(session) for session in sessions])
    assert flagged[label == 1].all()
    assert not flagged[label == 0].any()
    assert len(believed.without_bots(sessions)) == 400


def test_a_stuffed_title_is_cut_to_its_first_words_and_an_honest_one_stays() -> None:
    words = frequent_words(["Red wool scarf", "Blue wool cap", "Green wool scarf"], 2)
    assert words == ["wool", "scarf"]
    title = stuffed("Mug", ["wool", "SCARF"], 30)
    assert title.count("wool") == 60
    assert plain_title(title) == "wool SCARF wool SCARF Mug"
    assert len(plain_title(" ".join(map(str, range(100)))).split()) == TITLE_WORDS


def test_no_text_of_the_demo_shop_is_changed_by_the_defence() -> None:
    items = [catalog_item(product, Path("/x")) for product in products()]
    assert all(plain_title(item.title) == item.title for item in items)


def test_gini_and_exposure_by_hand() -> None:
    assert gini(np.ones(10)) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 4.0])) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="0 values"):
        gini(np.zeros(0))
    seen = exposure(np.array([[2, 0], [2, 1]]), 4)
    assert seen.tolist() == pytest.approx([1 / np.log2(3), 1 / np.log2(3), 2.0, 0.0])
    assert deciles(np.arange(20, dtype=np.float32)[::-1]).tolist() == [
        9,
        9,
        8,
        8,
        7,
        7,
        6,
        6,
        5,
        5,
        4,
        4,
        3,
        3,
        2,
        2,
        1,
        1,
        0,
        0,
    ]
    assert by_group(np.array([0, 1, 1]), np.array([1.0, 2.0, 1.0])) == [[0.25, 0.75]]


def test_the_exposure_rule_evens_out_pages_that_popular_products_fill() -> None:
    rng = np.random.default_rng(5)
    popularity = np.linspace(0, 8, 200).astype(np.float32)
    pools = np.stack([rng.choice(200, 36, replace=False, p=popularity / popularity.sum()) for _ in range(150)])
    worth = popularity[pools] + rng.normal(0, 2, pools.shape)
    pools = np.take_along_axis(pools, np.argsort(-worth, axis=1), axis=1)
    sellers = ["one"] * 200
    plain, lifted_pages = (reordered(pools, popularity, sellers, strength) for strength in (0.0, 1.0))
    assert np.array_equal(plain, pools[:, :12])
    assert gini(exposure(lifted_pages, 200)) < gini(exposure(plain, 200)) - 0.02
    assert all(set(page) <= set(pool) and len(set(page)) == 12 for page, pool in zip(lifted_pages, pools, strict=True))


def test_chance_clicks_cost_quality_and_bots_push_their_item_until_they_are_filtered() -> None:
    log = Log(walks(250, 6), prefixes_of(walks(60, 7)), ITEMS)
    clean = Learned.from_sessions(log.sessions, ITEMS, 3, 0)
    rows = chance_clicks(log, clean, lambda _: None)
    first = [row["models"]["session neighbours"]["mrr@20"] for row in rows]  # type: ignore[index]
    assert first[0] > first[-1] + 0.05
    found = bots(log, clean, 1, lambda _: None, shares=(0.10,))
    by_case = {(row["share"], row["filter"]): row["boosted_shown"]["item-KNN"] for row in found["rows"]}  # type: ignore[attr-defined]
    assert by_case[0.10, ""] > by_case[0.0, ""] + 0.1
    assert abs(by_case[0.10, "filtered"] - by_case[0.0, ""]) < 0.02


def test_a_cut_out_log_knows_only_the_items_of_its_training_part() -> None:
    log = cut_out([np.array([7, 9]), np.array([9, 4]), np.array([4, 8, 7]), np.array([8, 8])], 2, 2, 10, 0)
    assert log.items == 3
    assert [session.tolist() for session in log.sessions] == [[1, 2], [2, 0]]
    assert log.queries.items.max() < 3
    assert len(log.queries) == 1  # 8 is unknown: 4, 7 is left of one session, nothing of the other

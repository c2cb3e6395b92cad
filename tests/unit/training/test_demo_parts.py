"""The parts of the demo training: measures by hand, batches, rings, and that learning learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.tensors import EventKind
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import FEATURES, WIDTH, ItemFacts
from fusion.fuse import Fusion
from fusion.scorer import Scorer
from fusion.session import SessionEncoder
from shop.catalog import catalog_item, products
from shop.shoppers import Shopper
from shop.taste import shelf_of
from training.clicks import trust_query
from training.demo_baselines import co_visits, count_views, popularity_ranks
from training.demo_clicks import Visit, batches, browse, pad
from training.demo_items import caption_of
from training.demo_metrics import auc, calibration, ndcg, ranks, recall_mrr
from training.demo_pages import PLACES, Crowd, PageLog, by_popularity, by_query, by_scorer, explore, item_table, run_pages
from training.demo_ranker import RankerRecipe, calibrate, judge_ranker, train_ranker
from training.demo_recommender import Recipe, Recommender, ring_places, target_ranks, train_recommender

VIEW, CART = int(EventKind.VIEW), int(EventKind.CART)


def test_ties_take_the_middle_rank() -> None:
    scores = np.array([[3.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]], dtype=np.float32)
    assert ranks(scores, np.array([1, 0, 3])).tolist() == [3.0, 2.5, 1.0]


def test_recall_and_mrr_count_ranks_up_to_k_only() -> None:
    measured = recall_mrr(np.array([1.0, 4.0, 21.0, np.inf]), 20)
    assert measured == {"recall@20": 0.5, "mrr@20": (1 + 0.25) / 4, "targets": 4}


def test_ndcg_is_one_for_the_right_order_and_pages_without_a_click_do_not_count() -> None:
    clicked = np.array([[0, 1, 0], [0, 0, 0]], dtype=np.float32)
    assert ndcg(np.array([[0, 2, 1], [0, 1, 2]], dtype=np.float32), clicked) == 1.0
    assert ndcg(np.array([[3, 1, 2], [0, 1, 2]], dtype=np.float32), clicked) == pytest.approx(0.5)


def test_calibration_error_is_zero_for_true_probabilities_and_the_gap_for_false_ones() -> None:
    outcome = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), 300)
    assert calibration(np.full(1200, 0.25, np.float32), outcome, bins=4)[0] == pytest.approx(0.0, abs=0.01)
    assert calibration(np.full(1200, 0.65, np.float32), outcome, bins=4)[0] == pytest.approx(0.4, abs=0.01)


def test_only_views_are_targets_and_padding_is_none() -> None:
    clicks = pad([[(5, VIEW), (5, CART), (7, VIEW)], [(1, VIEW), (2, VIEW)]])
    assert clicks.targets.tolist() == [[-1, 7, -1], [2, -1, -1]]
    assert clicks.items.tolist() == [[5, 5, 7], [1, 2, 0]]
    assert clicks.kinds[1, 2] == EventKind.NONE


def test_batches_hold_every_visit_once_and_differ_by_seed() -> None:
    visits: list[Visit] = [[(number, VIEW)] * (2 + number % 9) for number in range(100)]
    first, second = (
        [clicks.items[:, 0].tolist() for clicks in batches(visits, 60, np.random.default_rng(seed))] for seed in (1, 2)
    )
    assert sorted(item for group in first for item in group) == list(range(100))
    assert first != second


def test_the_ring_holds_the_newest_items_and_marks_only_their_newest_places() -> None:
    ring, newest = ring_places(torch.tensor([[4, 6, 4, 8]]), 3)
    assert (ring * newest.to(torch.int64))[0].tolist() == [[4, 0, 0], [6, 4, 0], [4, 6, 0], [8, 4, 6]]
    assert newest[0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 1]]


def cycles(count: int, items: int, seed: int) -> list[Visit]:
    """Visits that walk through the items in order, from anywhere: what comes next is certain."""
    rng = np.random.default_rng(seed)
    return [[((start + step) % items, VIEW) for step in range(6)] for start in rng.integers(0, items, count)]


def recommender(items: int) -> Recommender:
    torch.manual_seed(3)
    sizes = FusionConfig(dim=16, text_width=8, image_width=8)
    session = SessionConfig(dim=16, input_scale=4.0, dropout=0.1)
    has = torch.ones(items, 3)
    return Recommender(Fusion(sizes), SessionEncoder(session), torch.randn(items, 8), torch.randn(items, 8), has)


def test_training_learns_what_comes_next_and_baselines_agree_on_the_data() -> None:
    model, visits, tests = recommender(30), cycles(300, 30, 1), cycles(40, 30, 2)
    everything = np.ones(30, dtype=bool)
    before = recall_mrr(target_ranks(model, tests, everything)[0], 1)["recall@1"]
    losses = train_recommender(model, visits, Recipe(epochs=6, targets=256, learning_rate=1e-2), 0, lambda *_: None)
    after = recall_mrr(target_ranks(model, tests, everything)[0], 1)["recall@1"]
    assert losses[-1] < losses[0]
    assert before < 0.2
    assert after > 0.9
    table = co_visits(visits, 30)
    assert (table.argmax(1) == (np.arange(30) + 1) % 30).all()
    assert recall_mrr(popularity_ranks(count_views(visits, 30), tests), 1)["recall@1"] < 0.2


def test_a_target_that_may_not_answer_is_left_out() -> None:
    model, tests = recommender(10), cycles(20, 10, 1)
    found, which = target_ranks(model, tests, np.arange(10) != 3)
    assert 3 not in which
    assert found.max() <= 9
    assert len(found) < sum(len(visit) - 1 for visit in tests)


def test_shoppers_who_came_before_new_products_never_touch_them() -> None:
    shelf = shelf_of(products())
    visits = browse(shelf, 20, seed=1, may_see_new=False, tick=lambda: None)
    assert len(visits) == 20
    assert not any(shelf.is_new[item] for visit in visits for item, _ in visit)
    assert visits == browse(shelf, 20, seed=1, may_see_new=False, tick=lambda: None)


def test_pages_are_full_distinct_and_without_what_is_gone_or_sold_out() -> None:
    goods = products(per_kind=3)
    shelf = shelf_of(goods)
    model = recommender(len(goods))
    facts = [ItemFacts(0, 0, 1.0, float(number), 0.0, 0.0) for number in range(len(goods))]
    scorer = Scorer(ScorerConfig(features=WIDTH)).eval()
    for choose in (explore, by_popularity, by_query, by_scorer(scorer)):
        crowd = Crowd(model, item_table(model, facts), shelf, [Shopper(f"v{n}", shelf, n) for n in range(6)], 1)
        for _ in range(12):
            crowd.look()
            pages = choose(crowd, np.arange(6))
            assert pages.shape == (6, PLACES)
            for page, shopper in zip(pages, crowd.shoppers, strict=True):
                assert len(set(page.tolist())) == PLACES
                assert shelf.is_open[page].all()
                if choose is not explore:
                    assert not set(page.tolist()) & set(shopper.gone)
            crowd.apply([shopper.decide(page.tolist()) for shopper, page in zip(crowd.shoppers, pages, strict=True)])


def test_a_crowd_s_state_is_that_of_its_visit_and_empty_after_leaving() -> None:
    goods = products(per_kind=2)
    shelf = shelf_of(goods)
    model = recommender(len(goods)).eval()
    facts = [ItemFacts(0, 0, 1.0, 0.0, 0.0, 0.0)] * len(goods)
    crowd = Crowd(model, item_table(model, facts), shelf, [Shopper("v", shelf, 4)], 1)
    touched: list[int] = []
    for _ in range(40):
        decision = crowd.shoppers[0].decide(None)
        crowd.apply([decision])
        if decision is None:
            assert not crowd.state.any()
            assert (crowd.ring == -1).all()
            return
        touched += decision.rows
        assert crowd.ring[0, : min(len(touched), 10)].tolist() == touched[::-1][:10]
    pytest.fail("the shopper never left")


def test_the_ranker_learns_the_feature_that_is_clicked_and_is_calibrated() -> None:
    rng = np.random.default_rng(1)

    def pages(count: int) -> PageLog:
        features = rng.standard_normal((count, PLACES, WIDTH)).astype(np.float32)
        probability = 1 / (1 + np.exp(2.0 - 1.5 * features[..., 9] + 0.2 * np.arange(PLACES)))
        return PageLog(features, (rng.random((count, PLACES)) < probability).astype(np.float32), count)

    torch.manual_seed(4)
    scorer = Scorer(ScorerConfig(features=WIDTH))
    train_ranker(scorer, pages(1500), RankerRecipe(epochs=6, batch=256), 0, lambda _: None)
    judged = judge_ranker(scorer, pages(600))
    assert judged["ndcg_ranker"] > judged["ndcg_query_alone"] + 0.1
    assert judged["ece"] < 0.03
    position = scorer.position.detach()
    assert position[0] > position[-1] + 0.3  # the regularised bias goes the right way in these few steps


def test_each_head_learns_what_came_of_the_click_and_places_without_a_dwell_teach_none() -> None:
    rng = np.random.default_rng(2)

    def chance(logit: np.ndarray) -> np.ndarray:
        return np.asarray(rng.random(logit.shape) < 1 / (1 + np.exp(-logit)), dtype=np.float32)

    def pages(count: int) -> PageLog:
        features = rng.standard_normal((count, PLACES, WIDTH)).astype(np.float32)
        clicked = chance(-1.5 + 1.5 * features[..., 9])
        seconds = np.where(clicked > 0, np.exp(3.0 + features[..., 12]), np.nan).astype(np.float32)
        return PageLog(features, clicked, count, {"cart": clicked * chance(2.0 * features[..., 11]), "dwell": seconds})

    torch.manual_seed(4)
    scorer = Scorer(ScorerConfig(features=WIDTH, heads=("click", "cart", "dwell")))
    train_ranker(scorer, pages(1200), RankerRecipe(epochs=6, batch=256), 0, lambda _: None)
    judged = judge_ranker(scorer, pages(400))
    assert judged["heads"]["click"]["auc"] > 0.75
    assert judged["heads"]["cart"]["auc"] > 0.8
    assert judged["heads"]["cart"]["ece"] < 0.02
    features = torch.zeros(2, WIDTH)
    features[1, 12] = 1.5
    with torch.no_grad():
        short, long = scorer.outputs(features)[:, 2].tolist()
    assert short == pytest.approx(3.05, abs=0.35)
    assert long > short + 0.9
    with pytest.raises(ValueError, match=r"'purchase'.*holds click and \['cart', 'dwell'\]"):
        train_ranker(
            Scorer(ScorerConfig(features=WIDTH, heads=("click", "purchase"))), pages(9), RankerRecipe(), 0, lambda _: None
        )


def test_a_ranker_that_is_too_sure_is_calibrated_on_pages_that_it_never_saw() -> None:
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.standard_normal((4000, WIDTH)).astype(np.float32))
    features[:, FEATURES.index("logit")] = 7.0 + 2.0 * features[:, FEATURES.index("logit")]
    scorer = Scorer(ScorerConfig(features=WIDTH)).eval()
    trust_query(scorer)
    with torch.no_grad():
        scorer.linear.weight *= 3.0
        truth = torch.sigmoid(scorer.logits(features) / 3.0 - 1.0)
    clicks = torch.from_numpy((rng.random(4000) < truth.numpy()).astype(np.float32))
    position = torch.zeros(4000, dtype=torch.int64)
    before = calibration(scorer(features).detach().numpy(), clicks.numpy())[0]
    calibrate(scorer, features[:2000], position[:2000], clicks[:2000, None])
    after = calibration(scorer(features[2000:]).detach().numpy(), clicks[2000:].numpy())[0]
    assert before > 0.1
    assert after < 0.03


def test_a_cart_and_a_purchase_count_at_the_place_of_the_page_whose_click_led_there() -> None:
    goods = products(per_kind=3)
    shelf = shelf_of(goods)
    model = recommender(len(goods)).eval()
    facts = [ItemFacts(0, 0, 1.0, float(number), 0.0, 0.0) for number in range(len(goods))]
    crowd = Crowd(model, item_table(model, facts), shelf, [Shopper(f"v{n}", shelf, n) for n in range(30)], 1)
    log = run_pages(crowd, 40, by_popularity, lambda: None)
    assert log.clicked.sum() > log.later["cart"].sum() >= log.later["purchase"].sum() > 0
    for labels in log.later.values():
        assert (labels <= log.clicked).all(), "nothing is bought by way of a place that nobody clicked"


def test_only_the_first_places_count_and_chance_has_an_area_of_one_half() -> None:
    clicked, scores = np.array([[0.0, 0.0, 1.0]], np.float32), np.array([[3.0, 2.0, 1.0]], np.float32)
    assert ndcg(scores, clicked, 2) == 0.0
    assert ndcg(scores, clicked, 3) == pytest.approx(0.5)
    assert auc(np.array([1.0, 2.0, 2.0, 3.0], np.float32), np.array([0, 0, 1, 1], np.float32)) == pytest.approx(0.875)
    assert auc(np.ones(4, np.float32), np.array([0, 1, 0, 1], np.float32)) == 0.5
    assert np.isnan(auc(np.ones(2, np.float32), np.zeros(2, np.float32)))


def test_without_pages_the_ranker_follows_the_query() -> None:
    scorer = Scorer(ScorerConfig(features=WIDTH)).eval()
    trust_query(scorer)
    features = torch.randn(50, WIDTH) * 3
    with torch.no_grad():
        order = scorer(features).argsort(descending=True)
    wanted = features[:, FEATURES.index("logit")] + features[:, FEATURES.index("pointer")]
    assert order.tolist() == wanted.argsort(descending=True).tolist()


def test_a_caption_names_what_can_be_seen() -> None:
    product = products()[0]
    caption = caption_of(catalog_item(product, Path("/x")))
    assert product.colour in caption
    assert product.pattern in caption
    assert product.style.name in caption

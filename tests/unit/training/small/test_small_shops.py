"""A small shop: warm start, the choice of augmentation, and contenders on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shop.catalog import products
from training.sessions.data import Dataset, Ints, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel, encoder_ranks
from training.sessions.metrics import summary
from training.small import choice
from training.small.augment_sessions import half_changed
from training.small.contenders import Start, compare, popularity
from training.small.shops import dataset, deal, visits
from training.small.tuning import Tuning, tune
from training.small.warm_start import Bridge, warm

ITEMS, DIM = 24, 16


def cycles(count: int, items: int, seed: int) -> list[Ints]:
    rng = np.random.default_rng(seed)
    return [(start + np.arange(5)) % items for start in rng.integers(0, items, count)]


@pytest.fixture(scope="module")
def donor() -> SessionModel:
    torch.manual_seed(1)
    model = SessionModel(ITEMS, EncoderRecipe(dim=DIM, dropout=0.1))
    tune(model, cycles(200, ITEMS, 1), Tuning(12, targets=128, learning_rate=1e-2))
    return model


def test_a_warm_shop_recommends_before_its_first_session(donor: SessionModel) -> None:
    """The new shop sells the donor's products under other rows; content tells which is which."""
    torch.manual_seed(2)
    content = np.random.default_rng(0).normal(size=(ITEMS, 40)).astype(np.float32)
    order = np.random.default_rng(1).permutation(ITEMS)
    bridge = Bridge.learn(content, donor.unit_vectors().numpy(), np.ones(ITEMS), 1e-3)
    cold = SessionModel(ITEMS, EncoderRecipe(dim=DIM))
    model = warm(SessionModel(ITEMS, EncoderRecipe(dim=DIM)), donor, bridge.place(content[order])).eval()
    place = np.argsort(order)
    asked = prefixes_of([place[session] for session in cycles(30, ITEMS, 9)])
    first = summary(encoder_ranks(model, asked, mask_seen=False), 1)["recall@1"]
    assert first > 0.8
    assert summary(encoder_ranks(cold.eval(), asked, mask_seen=False), 1)["recall@1"] < 0.3


def test_a_bridge_is_not_moved_by_items_that_nobody_clicked() -> None:
    rng = np.random.default_rng(3)
    content, vectors = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(30, 4)).astype(np.float32)
    counts = np.r_[np.ones(20), np.zeros(10)]
    other = vectors.copy()
    other[20:] = 7.0
    one, two = (Bridge.learn(content, values, counts) for values in (vectors, other))
    assert np.allclose(one.place(content), two.place(content), atol=1e-6)
    assert np.allclose(np.linalg.norm(one.place(content), axis=1), 1.0, atol=1e-5)


def test_vectors_of_another_shop_s_width_are_refused(donor: SessionModel) -> None:
    with pytest.raises(ValueError, match=r"expected \(24, 16\)"):
        warm(SessionModel(ITEMS, EncoderRecipe(dim=DIM)), donor, np.zeros((ITEMS, 8), np.float32))


def test_a_judge_s_best_epoch_is_what_training_ends_with() -> None:
    torch.manual_seed(0)
    model = SessionModel(ITEMS, EncoderRecipe(dim=DIM))
    seen: list[torch.Tensor] = []

    def judge(candidate: SessionModel) -> float:
        seen.append(candidate.vectors.detach().clone())
        return float(-abs(len(seen) - 2))

    best, losses = tune(model, cycles(20, ITEMS, 1), Tuning(6, patience=2), None, judge)
    assert (best, len(losses)) == (2, 4)
    assert torch.equal(model.vectors, seen[1])


def as_log(sessions: list[Ints]) -> Dataset:
    held = len(sessions) // 10
    return Dataset("log", np.arange(ITEMS), sessions[:-held], sessions, prefixes_of(sessions[-held:]), prefixes_of([]), False)


def test_augmentation_is_used_only_where_the_validation_slice_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    data, recipe = as_log(cycles(60, ITEMS, 1)), EncoderRecipe(dim=DIM)
    gains = {None: 0.5, half_changed: 0.4}
    monkeypatch.setattr(choice, "_value", lambda _, __, augment: gains[augment])
    assert choice.fitted_to(data, recipe).augment is None
    gains[half_changed] = 0.6
    chosen = choice.fitted_to(data, recipe)
    assert chosen.augment is half_changed
    assert chosen.recipe.targets < recipe.targets


def test_a_large_log_keeps_its_recipe_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "SMALL", 100)
    monkeypatch.setattr(choice, "_value", lambda *_: pytest.fail("a trial was made"))
    recipe = EncoderRecipe(dim=DIM)
    assert choice.fitted_to(as_log(cycles(60, ITEMS, 1)), recipe).recipe is recipe


def test_where_what_follows_is_certain_every_learner_beats_popularity(donor: SessionModel) -> None:
    data = dataset("cycle", ITEMS, cycles(60, ITEMS, 3), cycles(40, ITEMS, 4))
    figures = compare(data, DIM, 0, Start(donor, donor.unit_vectors().numpy()), k=3)
    base = figures["popularity"]["recall@3"]
    for name in ("item-KNN", "encoder", "encoder, augmented", "encoder, warm start", "blended"):
        assert figures[name]["recall@3"] > 2 * base, name
    assert 0.0 <= figures["blended"]["encoder_share"] <= 1.0


def test_every_item_has_some_popularity() -> None:
    shares = popularity([np.array([0, 0, 1])], 3)
    assert shares.tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_small_and_big_shop_share_no_product_and_the_small_one_sells_every_type() -> None:
    shops = deal(items=120, seed=1)
    ids = {product.item_id for product in shops.small}
    assert len(ids) == 120
    assert not ids & {product.item_id for product in shops.big}
    assert {product.kind.drawing for product in shops.small} == {product.kind.drawing for product in products()}
    sessions = visits(shops.small, 10, 5)
    assert len(sessions) == 10
    assert all(len(session) > 1 and session.max() < 120 for session in sessions)

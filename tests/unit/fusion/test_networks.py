"""Picture network, text encoder and ranker: shapes, invariances and what they must not look at."""

from __future__ import annotations

import pytest
import torch

from contracts.errors import ConfigurationError
from fusion.config import FusionConfig, ScorerConfig
from fusion.image import ImageEncoder
from fusion.scorer import LONGEST_DWELL, POSITIONS, Scorer, WeightedScorer
from fusion.text import TextEncoder, encode_texts, encoder_path, load_tokenizer


def test_pictures_of_any_size_become_vectors_and_a_picture_does_not_see_its_neighbours() -> None:
    torch.manual_seed(1)
    network = ImageEncoder(FusionConfig(image_width=20)).eval()
    pixels = torch.randint(0, 256, (3, 48, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        together, alone = network(pixels), network(pixels[1:2])
    assert together.shape == (3, 20)
    torch.testing.assert_close(together[1:2], alone)
    assert not torch.allclose(together[0], together[1])


def test_the_default_text_encoder_is_offline_and_knows_what_is_alike() -> None:
    encoder, tokenizer = TextEncoder(), load_tokenizer("minilm")
    texts = ["a red running shoe", "scarlet sneakers for jogging", "an oak dining chair"]
    vectors = torch.cat(list(encode_texts(encoder, tokenizer, texts, batch=2)))
    assert vectors.shape == (3, encoder.width)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_padding_changes_no_text_vector() -> None:
    encoder, tokenizer = TextEncoder(), load_tokenizer("minilm")
    short, long = "mug", "a mug for coffee, tea and cocoa made of stoneware with a wink in every corner"
    alone = torch.cat(list(encode_texts(encoder, tokenizer, [short])))
    padded = torch.cat(list(encode_texts(encoder, tokenizer, [short, long])))[:1]
    torch.testing.assert_close(alone, padded, atol=1e-5, rtol=0)


def test_any_other_name_is_a_hub_name_or_a_path() -> None:
    assert encoder_path("intfloat/e5-small") == "intfloat/e5-small"


@pytest.fixture
def scorer() -> Scorer:
    torch.manual_seed(2)
    network = Scorer(ScorerConfig(features=5))
    with torch.no_grad():
        network.position.copy_(-0.3 * torch.arange(POSITIONS))
    return network.eval()


def test_serving_probabilities_lie_between_those_of_the_first_and_the_last_place(scorer: Scorer) -> None:
    features = torch.randn(7, 5)
    with torch.no_grad():
        first, last = (torch.sigmoid(scorer.logits(features, torch.full((7,), place))) for place in (0, POSITIONS - 1))
        served = scorer(features)
    assert ((served < first) & (served > last)).all()


def test_inputs_are_brought_to_mean_zero_and_spread_one_and_outliers_are_cut(scorer: Scorer) -> None:
    features = 40.0 + 9.0 * torch.randn(500, 5)
    scorer.fit_inputs(features, torch.arange(500) % 12)
    inputs = (features - scorer.mean) * scorer.scale
    torch.testing.assert_close(inputs.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(inputs.std(0), torch.ones(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(scorer.shares.sum(), torch.tensor(1.0))
    with torch.no_grad():
        torch.testing.assert_close(scorer(torch.full((1, 5), 1e9)), scorer(torch.full((1, 5), 1e6)))


def four_heads() -> Scorer:
    torch.manual_seed(5)
    return Scorer(ScorerConfig(features=5, heads=("click", "cart", "purchase", "dwell"))).eval()


def test_a_page_is_ordered_by_the_weighted_objectives() -> None:
    scorer, features = four_heads(), 2.0 * torch.randn(40, 5)
    with torch.no_grad():
        click, cart, purchase, dwell = scorer.values(features)
        assert torch.equal(WeightedScorer(scorer, {"click": 3.0})(features), scorer(features)), (
            "clicks alone: their probability"
        )
        mixed = WeightedScorer(scorer, {"click": 1.0, "purchase": 3.0, "dwell": 1.0})(features)
        bought = WeightedScorer(scorer, {"purchase": 0.1})(features)
        alone = WeightedScorer(scorer, {"cart": 2.0, "dwell": 1.0})(features[:1])
    torch.testing.assert_close(mixed, (click + 3 * purchase + dwell) / 5)
    assert bought.argsort().tolist() == purchase.argsort().tolist() != click.argsort().tolist()
    torch.testing.assert_close(alone, (2 * cart[:1] + dwell[:1]) / 3)
    assert ((mixed >= 0) & (mixed <= 1)).all()


def test_dwell_counts_as_the_click_times_the_time_that_it_is_worth() -> None:
    scorer = four_heads()
    with torch.no_grad():
        scorer.linear.bias[3] += 1e3
        assert torch.equal(scorer.values(torch.zeros(2, 5))[3], scorer(torch.zeros(2, 5))), f"{LONGEST_DWELL} s are the most"
        scorer.linear.bias[3] -= 2e3
        assert not scorer.values(torch.zeros(2, 5))[3].any()


def test_objectives_without_a_head_and_heads_of_no_name_are_refused() -> None:
    scorer = Scorer(ScorerConfig(features=5, heads=("click", "cart")))
    with pytest.raises(ConfigurationError, match=r"objectives: dwell has no head.*\['click', 'cart'\]"):
        WeightedScorer(scorer, {"click": 1.0, "dwell": 0.5, "purchase": 0.0})
    with pytest.raises(ConfigurationError, match="one above 0"):
        WeightedScorer(scorer, {"click": 0.0})
    with pytest.raises(ConfigurationError, match="click first"):
        ScorerConfig(features=5, heads=("cart", "click"))


def test_weights_of_before_there_were_heads_still_rank() -> None:
    scorer, features = Scorer(ScorerConfig(features=5)), torch.randn(3, 5)
    old = {name: value for name, value in scorer.state_dict().items() if name not in {"slope", "offset"}}
    fresh = Scorer(ScorerConfig(features=5))
    fresh.load_state_dict(old)
    with torch.no_grad():
        assert torch.equal(fresh(features), scorer(features))

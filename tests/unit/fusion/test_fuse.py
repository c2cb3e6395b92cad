"""Fusion: the shares are exact, and whatever is missing is left out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.config import FusionConfig
from fusion.fuse import Fusion, hide_modalities

CONFIG = FusionConfig(dim=16, text_width=24, image_width=12)


def network(seed: int) -> Fusion:
    torch.manual_seed(seed)
    return Fusion(CONFIG).eval()


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(count, 24), torch.randn(count, 12), 3.0 * torch.randn(count, 16)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), has=st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=6))
def test_the_fused_vector_is_exactly_the_weighted_sum_and_has_norm_one(seed: int, has: list[tuple[int, int, int]]) -> None:
    fusion = network(seed)
    present = torch.tensor(has, dtype=torch.float32)
    with torch.no_grad():
        made = fusion(*inputs(len(has)), present)
    summed = made.weights[:, :1] * made.text + made.weights[:, 1:2] * made.image + made.weights[:, 2:] * made.behaviour
    torch.testing.assert_close(made.fused, summed)
    wanted = (present.sum(-1) > 0).to(torch.float32)
    torch.testing.assert_close(made.fused.norm(dim=-1), wanted, atol=1e-5, rtol=0)
    assert (made.weights >= 0).all()
    assert not made.weights[present == 0].any()


def test_a_missing_modality_changes_nothing_whatever_its_bytes_are() -> None:
    fusion = network(1)
    text, image, behaviour = inputs(4)
    has = torch.tensor([[1.0, 0.0, 1.0]] * 4)
    with torch.no_grad():
        one, other = fusion(text, image, behaviour, has), fusion(text, 100 * torch.randn(4, 12), behaviour, has)
    assert torch.equal(one.fused, other.fused)
    assert not one.image.any()


def test_behaviour_alone_is_the_normalised_id_vector() -> None:
    fusion = network(2)
    text, image, behaviour = inputs(3)
    with torch.no_grad():
        made = fusion(text, image, behaviour, torch.tensor([[0.0, 0.0, 1.0]] * 3))
    torch.testing.assert_close(made.fused, torch.nn.functional.normalize(behaviour, dim=-1))
    torch.testing.assert_close(made.weights, torch.tensor([[0.0, 0.0, 1.0]] * 3))


def test_a_modality_that_training_never_saw_is_left_out() -> None:
    fusion = network(3)
    fusion.enabled.copy_(torch.tensor([0.0, 0.0, 1.0]))
    with torch.no_grad():
        made = fusion(*inputs(3), torch.ones(3, 3))
    assert not made.weights[:, :2].any()
    assert not made.text.any()


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 0.75])
def test_modality_dropout_hides_only_what_was_there_and_never_everything(chance: float) -> None:
    has = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).repeat(200, 1)
    kept = hide_modalities(has, chance, torch.Generator().manual_seed(1))
    assert (kept <= has).all()
    assert torch.equal(kept.sum(-1) > 0, has.sum(-1) > 0)
    hidden = (has - kept)[::3].mean().item()
    assert hidden == 0 if chance == 0 else hidden > 0.3 * chance

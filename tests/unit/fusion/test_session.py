"""The session encoder's laws: stepping equals encoding the whole, and nothing later leaks into an answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.config import SessionConfig
from fusion.session import SessionEncoder


def trained_looking(config: SessionConfig, seed: int) -> SessionEncoder:
    """An encoder in which every parameter matters, as after training."""
    torch.manual_seed(seed)
    encoder = SessionEncoder(config).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


def answers_by_steps(encoder: SessionEncoder, x: torch.Tensor, kinds: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Query and pointer after every event, one step at a time, as serving does it."""
    config = encoder.config
    state = encoder.initial_state(x.shape[0])
    ring = torch.zeros(x.shape[0], config.ring, config.dim)
    mask = torch.zeros(x.shape[0], config.ring)
    answers = []
    for t in range(x.shape[1]):
        state = encoder.step(state, x[:, t], kinds[:, t])
        ring = torch.cat((x[:, t : t + 1], ring[:, :-1]), dim=1)
        mask = torch.cat((torch.ones(x.shape[0], 1), mask[:, :-1]), dim=1)
        answers.append(encoder.query(state, ring, mask))
    return answers


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 40),
    batch=st.integers(1, 4),
    dim=st.sampled_from([4, 16, 64]),
    ring=st.integers(1, 12),
    scale=st.sampled_from([1.0, 8.0]),
    seed=st.integers(0, 2**16),
)
def test_stepping_equals_encoding_the_whole_sequence_after_every_prefix(
    length: int, batch: int, dim: int, ring: int, scale: float, seed: int
) -> None:
    config = SessionConfig(dim=dim, ring=ring, input_scale=scale)
    encoder = trained_looking(config, seed)
    x = torch.nn.functional.normalize(torch.randn(batch, length, dim), dim=-1)
    kinds = torch.randint(0, config.kinds, (batch, length))
    with torch.no_grad():
        queries, pointers = encoder(x, kinds)
        for t, (query, pointer) in enumerate(answers_by_steps(encoder, x, kinds)):
            torch.testing.assert_close(query / config.tau, queries[:, t] / config.tau, atol=1e-5, rtol=0)
            torch.testing.assert_close(pointer, pointers[:, t], atol=1e-4, rtol=1e-5)


def test_a_later_event_never_changes_an_earlier_answer() -> None:
    encoder = trained_looking(SessionConfig(dim=8), 1)
    x, kinds = torch.randn(2, 9, 8), torch.randint(0, 6, (2, 9))
    changed = x.clone()
    changed[:, 6:] = torch.randn(2, 3, 8)
    with torch.no_grad():
        before, after = encoder(x, kinds)[0], encoder(changed, kinds)[0]
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_the_kind_of_an_event_matters() -> None:
    encoder = trained_looking(SessionConfig(dim=8), 2)
    x = torch.randn(1, 3, 8)
    with torch.no_grad():
        views, carts = encoder(x, torch.full((1, 3), 1))[0], encoder(x, torch.full((1, 3), 2))[0]
    assert not torch.allclose(views, carts)


def test_a_fresh_state_answers_with_finite_numbers_and_no_pointer() -> None:
    encoder = trained_looking(SessionConfig(dim=8), 3)
    with torch.no_grad():
        query, pointer = encoder.query(encoder.initial_state(2), torch.zeros(2, 10, 8), torch.zeros(2, 10))
    assert torch.isfinite(query).all()
    assert not pointer.any()


@pytest.mark.parametrize("dim", [16, 100])
def test_the_state_width_is_three_vectors_and_two_numbers(dim: int) -> None:
    assert SessionEncoder(SessionConfig(dim=dim)).initial_state(3).shape == (3, 3 * dim + 2)


def test_the_query_is_tau_times_a_unit_vector() -> None:
    encoder = trained_looking(SessionConfig(dim=16, tau=9.0), 4)
    with torch.no_grad():
        queries, _ = encoder(torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.int64))
    torch.testing.assert_close(queries.norm(dim=-1), torch.full((2, 5), 9.0))

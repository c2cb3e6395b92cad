"""A call that asks for less work: the same session, fewer candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.tensors import Context, Effort
from tests.unit.triton_models.test_page_ranker import NEAR_X, answered, ranker_of, request
from tests.unit.triton_models.tiny_model import write_tiny_model
from triton_models import candidates


def test_less_effort_ranks_the_best_candidates_only_and_leaves_the_session_as_it_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "REDUCED_WIDTH", 6)
    ranker = ranker_of(write_tiny_model(tmp_path))
    full = request(events=[NEAR_X[0]])
    less = {**full, "context": full["context"].copy()}
    less["context"][:, Context.EFFORT] = Effort.REDUCED
    whole, part = ranker.rank(full), ranker.rank(less)
    np.testing.assert_array_equal(whole["state"], part["state"])
    assert len(answered(part)) == 6 < len(answered(whole))
    assert set(answered(part)) <= set(NEAR_X)

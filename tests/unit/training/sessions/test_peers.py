"""Peers on a toy log: each learns what is easy for it, and a kept peer is one of the same log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.sessions.data import Dataset, pad, prefixes_of
from training.sessions.metrics import summary
from training.sessions.peers.run import peers
from training.sessions.peers.sasrec import Sasrec, SasrecRecipe

TINY = SasrecRecipe(dim=16, blocks=1, negatives=64, targets=64, epochs=12, learning_rate=1e-2)


@pytest.fixture
def circle() -> Dataset:
    """Walks of four steps around a circle of 20 items."""
    walks = [(start + np.arange(4)) % 20 for start in np.random.default_rng(0).integers(0, 20, 300)]
    held = prefixes_of(walks[-10:])
    return Dataset("circle", np.arange(20), walks[:-10], walks, held, held, mask_seen=False)


def test_every_peer_learns_the_circle_and_is_not_trained_twice_on_it(circle: Dataset, tmp_path: Path) -> None:
    found = peers(circle, tmp_path, TINY, minutes=5)
    assert summary(found["SASRec"].ranks, 1)["recall@1"] > 0.9, "the next item follows from the last one"
    assert found["SASRec"].epochs == 12
    for name in ("ALS (implicit)", "item-KNN (implicit)"):
        assert summary(found[name].ranks, 7)["recall@7"] > 0.9, "it is among the items that share sessions with the prefix"
    again = peers(circle, tmp_path, TINY, minutes=5)
    assert [peer.minutes for peer in again.values()] == [peer.minutes for peer in found.values()]
    other = replace(circle, test=pad([np.array([3])], [4]))
    assert len(peers(other, tmp_path, TINY, minutes=0)["SASRec"].ranks) == 1


def test_a_later_click_never_changes_sasrecs_earlier_answer() -> None:
    torch.manual_seed(0)
    model = Sasrec(9, TINY).eval()
    with torch.no_grad():
        long, short = model(torch.tensor([[1, 2, 3, 4]])), model(torch.tensor([[1, 2]]))
    torch.testing.assert_close(long[:, :2], short)

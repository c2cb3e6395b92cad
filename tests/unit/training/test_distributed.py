"""Two processes learn what one learns; and how a batch is dealt out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from contracts.errors import ConfigurationError
from contracts.settings import ROOT
from tests.torchrun import torchrun
from tests.unit.training.finetune.tiny import write_towers, written_items
from tests.unit.training.two_processes import SESSIONS, train
from training.distributed import World, joined_world
from training.sessions.encoder import Sampler, SessionModel, sampled_loss
from training.sessions.encoder_training import _Run, silent


def test_every_row_is_dealt_once_and_the_weights_of_the_shares_make_one() -> None:
    for rows in (1, 2, 5, 32):
        batch = np.arange(100, 100 + rows)
        for size in (1, 2, 3):
            shares = [World(rank, size).share(batch) for rank in range(size)]
            assert sum(weight for _, weight in shares) == pytest.approx(1.0)
            assert sorted(row for mine, weight in shares if weight for row in mine) == batch.tolist()
            assert all(len(mine) for mine, _ in shares), "each takes part in each step"


def test_two_processes_learn_what_one_learns_and_only_the_first_writes(tmp_path: Path) -> None:
    write_towers(tmp_path)
    items = written_items()
    (tmp_path / "words.json").write_text(json.dumps({"ids": items.ids, "titles": items.titles}))
    assert items.pixels is not None
    save_file({"labels": items.labels, "pixels": items.pixels}, tmp_path / "arrays.safetensors")
    walks = [" ".join(str((start + step) % 30) for step in range(2 + start % 3)) for start in range(150)]
    for name, lines in (("train", walks), ("test", ["3\t1 2"])):
        with gzip.open(tmp_path / f"{name}.txt.gz", "wt") as stream:
            stream.write("\n".join(lines) + "\n")
    train(tmp_path, tmp_path / "one", World())
    script = ROOT / "tests" / "unit" / "training" / "two_processes.py"
    torchrun(str(script), str(tmp_path), str(tmp_path / "two"))
    one, two = (json.loads((tmp_path / name / "found.json").read_text()) for name in ("one", "two"))
    torch.testing.assert_close(torch.tensor(two["logits"]), torch.tensor(one["logits"]), atol=2e-3, rtol=0)
    assert two["after"]["accuracy"] == one["after"]["accuracy"]
    for kind, rows in (("curve", 2), ("sessions", 3)):
        assert len(one[kind]) == len(two[kind]) == rows
        for left, right in zip(one[kind], two[kind], strict=True):
            assert right["loss"] == pytest.approx(left["loss"], rel=1e-3), kind  # Adam makes steps of roundings
    assert one["curve"][-1]["loss"] < one["curve"][0]["loss"], "it has learned nothing"
    curves = [list((tmp_path / name).rglob("*tfevents*")) for name in ("one", "two")]
    assert [len(files) for files in curves] == [1, 1]


def test_the_session_gradients_of_two_shares_add_up_to_those_of_the_block(tmp_path: Path) -> None:
    block = np.array([[1, 2, 3, 4, 5], [6, 7, -1, -1, -1], [8, 9, 10, -1, -1]])
    torch.manual_seed(0)
    model = SessionModel(30, SESSIONS)

    def gradients(world: World) -> list[torch.Tensor]:
        training = _Run(model, SESSIONS, tmp_path, 0, silent)
        training.world = world
        mine, weight = training._part(block)
        sampler = Sampler(np.ones(30), 20, np.random.default_rng(0))
        return list(torch.autograd.grad(sampled_loss(model, mine, sampler) * weight, list(model.parameters())))

    whole = gradients(World())
    for size in (2, 4):
        parts = [gradients(World(rank, size)) for rank in range(size)]
        for wanted, *found in zip(whole, *parts, strict=True):
            torch.testing.assert_close(torch.stack(found).sum(0), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--device: cuda"), joined_world("cuda"):
        pass

"""Readers, protocol and training of the session models on tiny logs."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigurationError
from contracts.tensors import EventKind
from training.sessions.data import Dataset, Queries, pad, read_histories, read_sessions
from training.sessions.encoder import NEVER, EncoderRecipe, SessionModel, _SampledSoftmax, left_aligned
from training.sessions.encoder_training import train_encoder
from training.sessions.evaluate import run
from training.sessions.metrics import ranks_of, summary
from training.sessions.rules import candidate_ranks, transitions

SMALL = EncoderRecipe(dim=8, negatives=64, targets=64, fewest=2, most=2, refit_epochs=1)


def write(path: Path, lines: list[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


@pytest.fixture
def log(tmp_path: Path) -> Dataset:
    """Sessions that walk around a circle of 30 items: the next item follows from the last one."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 30, 400)
    write(tmp_path / "train.txt.gz", [" ".join(str(100 + (start + step) % 30) for step in range(4)) for start in starts])
    write(tmp_path / "test.txt.gz", ["103\t101 102", "9999\t101", "105\t8888 104"])
    return read_sessions(tmp_path)


def test_the_last_tenth_of_the_sessions_is_the_validation_slice(log: Dataset) -> None:
    assert (len(log.fit), len(log.full), len(log.validation)) == (360, 400, 120)
    assert log.test.targets.tolist()[1] == -1, "an item that training never saw counts as a miss"
    assert log.ids[log.test.items[2][log.test.items[2] >= 0]].tolist() == [104]


def test_histories_hold_out_the_last_two_items(tmp_path: Path) -> None:
    write(tmp_path / "h.txt.gz", [f"{user} {user % 3} 10 11 12 13" for user in range(20)])
    data = read_histories(tmp_path / "h.txt.gz")
    assert data.mask_seen
    assert data.ids[data.test.targets].tolist() == [13] * 20
    assert data.ids[data.validation.targets].tolist() == [12] * 20
    assert all(len(session) == 3 for session in data.fit)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.txt.gz", ["1 2 3", "4 x"])
    with pytest.raises(ConfigurationError, match=r"line 2.*'4 x'"):
        read_sessions(tmp_path)


def test_ties_take_the_middle_rank_and_unknown_or_masked_targets_miss() -> None:
    queries = Queries(np.array([[0], [0], [2]]), np.array([1, -1, 2]))
    scores = np.array([[1.0, 1.0, 1.0]] * 3, dtype=np.float32)
    assert ranks_of(scores.copy(), queries, mask_seen=False).tolist() == [2.0, np.inf, 2.0]
    assert ranks_of(scores.copy(), queries, mask_seen=True).tolist() == [1.5, np.inf, np.inf]
    assert summary(np.array([1.0, 4.0, np.inf]), 3) == {"recall@3": 1 / 3, "mrr@3": 1 / 3, "ndcg@3": 1 / 3}
    assert candidate_ranks(np.array([[5, 6, -1]]), np.array([[1.0, 1.0, -np.inf]]), np.array([6])).tolist() == [1.5]


def test_rules_weigh_a_pair_by_its_distance() -> None:
    table = transitions([np.array([0, 1, 2])], 3)
    assert table.toarray().tolist() == [[0, 1, 0.5], [0, 0, 1], [0, 0, 0]]


def test_prefixes_move_to_the_front_for_the_encoder() -> None:
    assert left_aligned(np.array([[-1, 3, 4], [5, 6, 7]])).tolist() == [[3, 4, -1], [5, 6, 7]]


def test_scores_do_not_depend_on_the_batch_a_prefix_is_in() -> None:
    torch.manual_seed(0)
    model = SessionModel(9, SMALL).eval()
    together = model.scores(pad([np.array([1, 2, 1]), np.array([4])], [0, 0]).items, model.unit_vectors())
    alone = model.scores(np.array([[4]]), model.unit_vectors())
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_the_loss_in_one_buffer_is_plain_cross_entropy_with_its_gradients() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(5, 3), torch.randn(5, 4), torch.randn(7, 4)]
    correction, answer = torch.randn(7), torch.tensor([0, 2, 1, 0, 0])
    barred = torch.tensor([[0, -1, 3], [-1, -1, -1], [6, 6, -1], [2, -1, -1], [-1, 5, 1]])

    def plain(exact: torch.Tensor, query: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(5, 7)
        for row, places in enumerate(barred.tolist()):
            mask[row, [place for place in places if place >= 0]] = NEVER
        return torch.nn.functional.cross_entropy(torch.cat((exact, query @ drawn.T - correction + mask), dim=1), answer)

    results = []
    for loss_of in (plain, lambda *given: _SampledSoftmax.apply(*given, correction, barred, answer)):
        leaves = [part.clone().requires_grad_() for part in parts]
        loss = loss_of(*leaves)
        loss.backward()
        results.append((loss.detach(), *(leaf.grad for leaf in leaves)))
    torch.testing.assert_close(results[1], results[0], atol=1e-6, rtol=1e-5)


def streamed_scores(model: SessionModel, clicks: list[int]) -> list[torch.Tensor]:
    """Logits [n] after each click from a state that is carried and a ring of the newest items, as serving does it."""
    encoder, vectors = model.encoder, model.unit_vectors()
    ring: list[int] = []
    state, answers = encoder.initial_state(1), []
    for item in clicks:
        state = encoder.step(state, vectors[torch.tensor([item])], torch.tensor([int(EventKind.VIEW)]))
        ring = [item, *ring][: encoder.config.ring]
        empty = encoder.config.ring - len(ring)
        mask = torch.tensor([[1.0] * len(ring) + [0.0] * empty])
        query, pointer = encoder.query(state, vectors[torch.tensor([ring + [0] * empty])], mask)
        logits = (query @ vectors.T)[0]
        for place, held in enumerate(ring):
            if held not in ring[:place]:
                logits[held] += pointer[0, place]
        answers.append(logits)
    return answers


@settings(max_examples=20, deadline=None)
@given(clicks=st.lists(st.integers(0, 8), min_size=1, max_size=30), seed=st.integers(0, 2**16))
def test_what_is_benchmarked_after_every_prefix_is_what_streams(clicks: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    model = SessionModel(9, SMALL).eval()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        prefixes = pad([np.array(clicks[:end]) for end in range(1, len(clicks) + 1)], [0] * len(clicks))
        whole = model.scores(prefixes.items, model.unit_vectors())
        streamed = torch.stack(streamed_scores(model, clicks))
    torch.testing.assert_close(streamed / model.encoder.config.tau, whole / model.encoder.config.tau, atol=1e-5, rtol=0)


def test_a_killed_training_goes_on_where_it_was(log: Dataset, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(_stage: str, _share: float, words: str) -> None:
        if words.startswith("epoch 1"):
            raise Killed

    with pytest.raises(Killed):
        train_encoder(log, tmp_path / "run", SMALL, 20, kill)
    progress = train_encoder(log, tmp_path / "run", SMALL, 20)
    assert [row["stage"] for row in progress.curve] == ["fit", "fit", "refit"]
    assert train_encoder(log, tmp_path / "run", SMALL, 20).seconds == progress.seconds, "a finished training is not repeated"
    unbroken = train_encoder(log, tmp_path / "unbroken", SMALL, 20)
    assert [row["loss"] for row in unbroken.curve] == pytest.approx([row["loss"] for row in progress.curve], rel=1e-6)


def test_a_folder_of_another_training_is_refused(log: Dataset, tmp_path: Path) -> None:
    train_encoder(log, tmp_path / "run", SMALL, 20)
    with pytest.raises(ConfigurationError, match="seed 0, not 1"):
        train_encoder(log, tmp_path / "run", replace(SMALL, seed=1), 20)
    with pytest.raises(ConfigurationError, match="of another log"):
        train_encoder(replace(log, fit=log.fit[1:]), tmp_path / "run", SMALL, 20)


def test_a_run_learns_the_circle_and_reports_every_model(log: Dataset, tmp_path: Path) -> None:
    recipe = EncoderRecipe(dim=16, negatives=64, targets=64, fewest=12, most=12, refit_epochs=1)
    figures = run(log, tmp_path / "run", recipe, 1)
    reached = {name: values["recall@1"] for name, values in figures["models"].items()}
    assert reached["SR"] == reached["blend"] == pytest.approx(2 / 3)
    assert {"popularity", "V-SKNN", "item-KNN", "encoder", "session neighbours, tuned"} <= reached.keys()
    assert (tmp_path / "run" / "blend.npz").exists()

"""A table of clicks becomes an artefact that serves by behaviour alone."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import ConfigurationError
from contracts.keys import item_key
from fusion import artefact as artefacts
from training.clicks import ClicksRecipe, read_visits, train_clicks
from training.demo_recommender import Recipe

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def quiet(_: str, __: int) -> object:
    return lambda: None


def write(path: Path, rows: list[str]) -> Path:
    text = "\n".join(["SessionId\tItemId\tTime", *rows]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_visits_are_in_the_order_of_time_and_single_clicks_are_left_out(tmp_path: Path) -> None:
    rows = ["2\tb\t20.5", "1\ty\t12", "1\tx\t11.25", "3\tz\t1", "2\ta\t30"]
    visits, ids = read_visits(write(tmp_path / "t.tsv.gz", rows))
    assert [[ids[item] for item, _ in visit] for visit in visits] == [["x", "y"], ["b", "a"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n1\t2\n", "has the columns"),
        ("SessionId\tItemId\tTime\n1\tx\tsoon\n", "line 2: Time is 'soon', expected seconds"),
    ],
)
def test_a_wrong_table_is_refused_with_what_came_and_what_was_expected(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        read_visits(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_visits(tmp_path / "none.tsv")


def test_the_artefact_serves_by_behaviour_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        f"{number}\ti{(start + step) % 20}\t{number * 100 + step}"
        for number, start in enumerate(rng.integers(0, 20, 300))
        for step in range(5)
    ]
    recommender = Recipe(epochs=8, targets=256, learning_rate=1e-2, modality_dropout=0.0)
    recipe = ClicksRecipe(dim=16, tenant="acme", recommender=recommender)
    metrics = train_clicks(write(tmp_path / "t.tsv", rows), tmp_path / "cycle", recipe, quiet)  # type: ignore[arg-type]
    assert metrics["next_item"]["after"]["mrr@20"] > 0.9 > metrics["next_item"]["before"]["mrr@20"]
    artefact = artefacts.load(tmp_path / "cycle")
    assert artefact.name == "cycle"
    assert set(artefact.keys.tolist()) == {item_key("acme", f"i{number}") for number in range(20)}
    with torch.no_grad():
        made = artefact.fusion(
            torch.randn(20, 384), torch.randn(20, 128), torch.from_numpy(artefact.vectors), torch.ones(20, 3)
        )
    torch.testing.assert_close(made.weights, torch.tensor([[0.0, 0.0, 1.0]] * 20))


@pytest.mark.data
def test_the_real_clicks_are_read_as_they_are() -> None:
    path = DATA / "sessions" / "yoochoose_100k_timestamped" / "train_full.tsv.gz"
    if not path.exists():
        pytest.skip("../shared/data is not there")
    visits, ids = read_visits(path)
    assert len(ids) > 2_500
    assert len(visits) > 10_000
    assert all(len(visit) >= 2 for visit in visits)

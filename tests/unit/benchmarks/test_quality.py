"""The quality benchmark's file, on a toy set and without any set."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.quality import SETS, compared, main


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(main)
    return made


def test_a_missing_set_is_skipped_with_a_sentence_and_nothing_is_written(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_DATA", str(tmp_path))
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "q.json")])
    assert result.exit_code == 0
    for name in SETS:
        assert f"{name} skipped" in result.output
    assert not (tmp_path / "q.json").exists()


def test_an_unknown_set_is_refused_with_the_known_ones(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--only", "books"])
    assert result.exit_code == 2
    assert "diginetica" in result.output


def test_a_set_replaces_its_own_figures_and_leaves_the_others(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sessions" / "diginetica"
    folder.mkdir(parents=True)
    for name, lines in {
        "train": [" ".join(str((start * 7 + step) % 30) for step in range(4)) for start in range(150)],
        "test": [f"{start + 2}\t{start} {start + 1}" for start in range(28)],
    }.items():
        with gzip.open(folder / f"{name}.txt.gz", "wt", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
    monkeypatch.setenv("SHARED_DATA", str(tmp_path))
    target = tmp_path / "quality.json"
    models = {
        name: {"recall@10": 0.1, "ndcg@10": 0.1} for name in ("popularity", "item-KNN", "SR", "V-SKNN", "encoder", "blend")
    }
    beauty = compared({"models": models, "data": "kept"}, SETS["beauty"])
    target.write_text(json.dumps({"sets": {"beauty": beauty, "diginetica": {"data": "old"}}}))
    arguments = ["--only", "diginetica", "--fewest", "1", "--most", "1", "--refit", "0", "--peer-epochs", "1"]
    arguments += ["--seed", "0", "--seed", "1", "--out", str(target)]
    result = CliRunner().invoke(app, [*arguments, "--checkpoints", str(tmp_path / "run")], catch_exceptions=False)
    assert "written" in result.output
    sets = json.loads(target.read_text())["sets"]
    assert list(sets) == ["diginetica", "beauty"]
    assert sets["beauty"] == beauty
    found = sets["diginetica"]
    assert found["goals"]["recall@20"] == {
        "goal": 0.568,
        "reached": found["models"]["blend"]["recall@20"],
        "met": found["models"]["blend"]["recall@20"] > 0.568,
    }
    assert found["recipe"]["fewest"] == 1
    ours = [run["models"]["blend"]["recall@20"] for run in found["seeds"]]
    assert found["models"]["blend"]["recall@20"] == pytest.approx(np.mean(ours))
    assert found["spread"]["blend"]["recall@20"] == pytest.approx(np.std(ours, ddof=1))
    assert found["spread"]["SR"]["recall@20"] == 0.0, "a baseline is measured once"
    assert found["peers"]["SASRec"]["epochs"] == 1
    assert {"SASRec", "ALS (implicit)", "item-KNN (implicit)"} <= found["models"].keys()
    assert target.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_goal_must_be_exceeded() -> None:
    figures = {"models": {"blend": {"recall@10": 0.1008, "ndcg@10": 0.0612}}}
    goals = compared(figures, SETS["beauty"])["goals"]
    assert (goals["recall@10"]["met"], goals["ndcg@10"]["met"]) == (False, True)

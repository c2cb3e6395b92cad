"""`vitrine train|evaluate sessions|histories` on a toy folder and a toy file."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import build
from contracts.errors import ConfigurationError
from tests.torchrun import torchrun

QUICK = ["--fewest", "2", "--most", "2", "--refit", "1", "--threads", "1"]


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    return path


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """Sessions that walk around a circle of 30 items."""
    walks = [[100 + (start + step) % 30 for step in range(4)] for start in np.random.default_rng(0).integers(0, 30, 200)]
    write(tmp_path / "circle" / "train.txt.gz", [" ".join(map(str, walk)) for walk in walks])
    write(tmp_path / "circle" / "test.txt.gz", ["103\t101 102", "9999\t101", "101\t129 100"])
    return tmp_path / "circle"


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(build(), [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_sessions_are_trained_once_and_the_evaluation_measures_that_training(circle: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "reports" / "circle.json"
    said = invoke("train", "sessions", "--data", circle, "--checkpoints", folder, *QUICK)
    assert "refit  epoch 3" in said
    trained = (folder / "final.pt").stat().st_mtime_ns
    page = tmp_path / "pages" / "circle.html"
    said = invoke("evaluate", "sessions", "--data", circle, "--checkpoints", folder, "--json", out, "--html", page, *QUICK)
    assert (folder / "final.pt").stat().st_mtime_ns == trained, "a finished training is not repeated"
    figures = json.loads(out.read_text())
    assert (figures["test_queries"], figures["items"], figures["seed"], figures["k"]) == (3, 30, 0, 20)
    assert figures["models"]["SR"]["mrr@20"] == pytest.approx(2 / 3), "on a circle the rule of the last item is right"
    assert {"popularity", "V-SKNN", "item-KNN", "encoder", "blend"} <= figures["models"].keys()
    assert {"commit", "cores"} <= figures["machine"].keys()
    assert all(model in said for model in figures["models"])
    shown = page.read_text(encoding="utf-8")
    assert all(f"<td>{model}</td>" in shown for model in figures["models"])
    assert f"{figures['models']['blend']['mrr@20']:.4f}" in shown
    assert shown.count("<svg") == 5, "before and after, learning curve, by length, by popularity, by position"
    assert not re.search(r"""(?:src|href)=["'](?!#)|@import|url\((?!#)""", shown), "nothing is loaded from elsewhere"


def test_the_curves_go_where_the_settings_say(circle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("VITRINE_TRACKING__BACKEND", "mlflow")
    monkeypatch.setenv("VITRINE_TRACKING__STORE", str(store))
    said = invoke("train", "sessions", "--data", circle, "--checkpoints", tmp_path / "run", *QUICK)
    assert "mlflow ui" in said
    assert "tensorboard" not in said
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - seconds to import, and only here

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sessions circle")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["negatives"] == "4096"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "refit/loss")] == [3]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_torchrun_trains_with_the_same_command_and_one_process_speaks(circle: Path, tmp_path: Path) -> None:
    two, one = (("train", "sessions", "--data", str(circle), "--checkpoints", str(tmp_path / name), *QUICK) for name in "21")
    said = torchrun("-m", "cli", *two), invoke(*one)
    assert [text.count("refit  epoch 3") for text in said] == [1, 1]
    for metric in ("recall@20", "mrr@20"):
        together, alone = (float(re.findall(rf"epoch 2: .*{metric} (\d+\.\d+)", text)[-1]) for text in said)
        assert together == pytest.approx(alone, abs=0.02), "but for dropout"
        assert together > 0.9, "the circle was not learned"


def test_histories_hold_out_the_last_item_and_mask_what_was_seen(tmp_path: Path) -> None:
    lines = [f"{user} " + " ".join(str((user + step) % 25) for step in range(5)) for user in range(100)]
    data, out = write(tmp_path / "walks.txt.gz", lines), tmp_path / "walks.json"
    invoke("evaluate", "histories", "--data", data, "--checkpoints", tmp_path / "run", "--json", out, *QUICK)
    figures = json.loads(out.read_text())
    assert (figures["data"], figures["test_queries"], figures["k"]) == ("walks", 100, 10)
    assert figures["models"]["item-KNN"]["recall@10"] == 1.0
    assert [row["from"] for row in figures["breakdowns"]["blend"]["position"]] == ["not in prefix"]


def test_other_epochs_in_the_folder_of_a_training_are_refused(circle: Path, tmp_path: Path) -> None:
    common = ("train", "sessions", "--data", circle, "--checkpoints", tmp_path / "run")
    invoke(*common, *QUICK)
    with pytest.raises(ConfigurationError, match="seed 0, not 3"):
        invoke(*common, *QUICK, "--seed", "3")


def test_wrong_options_and_missing_data_are_told_in_a_sentence(tmp_path: Path, circle: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--data: .*train\.txt\.gz does not exist"):
        invoke("train", "sessions", "--data", tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="--fewest is 9 and --most 3"):
        invoke("train", "sessions", "--data", circle, "--fewest", "9", "--most", "3")

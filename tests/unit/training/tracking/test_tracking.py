"""TensorBoard's files and MLflow's store hold what was tracked, without a network, also after a kill."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from training.tracking.port import Silent, Tracker, open_tracker


def track(tracker: Tracker, folder: Path, first: int) -> None:
    report = folder / "report.md"
    report.write_text("# Good\n")
    tracker.settings({"rate": 1e-3, "mode": "lora"})
    for step in (first, first + 1):
        tracker.scalars(step, {"fit/recall@20": step / 10})
    tracker.file(report)


def test_tensorboard_is_the_default_and_a_resumed_run_adds_to_its_curves(tmp_path: Path) -> None:
    for first in (1, 3):
        with open_tracker("tensorboard", tmp_path, tmp_path / "store", "x") as tracker:
            track(tracker, tmp_path, first)
    points: dict[int, float] = {}
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    points |= {event.step: event.value for event in read.Scalars("fit/recall@20")}
    assert points == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    assert {"settings/text_summary", "report.md/text_summary"} <= set(read.Tags()["tensors"])


def test_mlflow_keeps_a_run_in_its_own_store_and_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: socket.socket, address: Any) -> None:
        pytest.fail(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder, store = tmp_path / "run", tmp_path / "store"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), open_tracker("mlflow", folder, store, "colours") as tracker:  # noqa: PT012
        track(tracker, folder, 1)
        raise KeyboardInterrupt
    with open_tracker("mlflow", folder, store, "colours") as tracker:
        track(tracker, folder, 3)

    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - after its telemetry was turned off

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'colours'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params == {"rate": "0.001", "mode": "lora"}
    assert [point.value for point in client.get_metric_history(run.info.run_id, "fit/recall_at_20")] == [0.1, 0.2, 0.3, 0.4]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.md"]
    assert not (tmp_path / "mlruns").exists()


def test_none_tracks_nothing(tmp_path: Path) -> None:
    with open_tracker("none", tmp_path, tmp_path / "store", "x") as tracker:
        assert isinstance(tracker, Silent)
        track(tracker, tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]

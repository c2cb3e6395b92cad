"""Runs in MLflow's own SQLite store, offline: no server is asked and nothing is sent anywhere.

`mlflow ui --backend-store-uri sqlite:///var/mlflow/mlflow.db` shows it; the interface comes with the full `mlflow` package,
of which we install the skinny one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

LONGEST_PARAMETER = 6000
"""Characters that MLflow takes."""


class MlflowStore:
    """A tracker that writes into a local database.

    A run that a kill ended goes on as the same run: its number lies in the run's folder.

    Args:
        store: folder of `mlflow.db` and of the runs' files; created if missing.
        experiment: name that groups runs.
        folder: of the training; its name is the run's.
    """

    def __init__(self, store: Path, experiment: str, folder: Path) -> None:
        store.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=f"sqlite:///{store.resolve() / 'mlflow.db'}")
        known = self._client.get_experiment_by_name(experiment)
        files = (store.resolve() / "files").as_uri()
        number = known.experiment_id if known else self._client.create_experiment(experiment, artifact_location=files)
        self.run_id = self._run(number, folder)

    def _run(self, experiment: str, folder: Path) -> str:
        note = folder / "mlflow-run.txt"
        if note.exists():
            number = note.read_text(encoding="utf-8").strip()
            self._client.update_run(number, status="RUNNING")
            return number
        number = str(self._client.create_run(experiment, run_name=folder.name).info.run_id)
        note.write_text(number + "\n", encoding="utf-8")
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.set_terminated(self.run_id, "FINISHED" if error is None else "FAILED")

    def settings(self, values: Mapping[str, object]) -> None:
        """Write parameters; MLflow refuses to change one, so those that are there stay."""
        known = self._client.get_run(self.run_id).data.params
        new = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in values.items() if name not in known]
        self._client.log_batch(self.run_id, params=new)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a point of each curve. MLflow's names have no `@`: recall@20 is written as recall_at_20."""
        now = int(time.time() * 1000)
        points = [Metric(name.replace("@", "_at_"), float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self.run_id, metrics=points)

    def file(self, path: Path) -> None:
        """Copy it to the run's files."""
        self._client.log_artifact(self.run_id, str(path))

"""The port of experiment tracking, and who stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from contracts.settings import TrackingSettings, resolve

Backend = Literal["tensorboard", "mlflow", "none"]


class Tracker(Protocol):
    """Told what a training is and how it goes. Each call is written before it returns, so that a kill loses nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def settings(self, values: Mapping[str, object]) -> None:
        """What the training was started with; called once, again after a resume."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Figures by name at a step; the same name and step again adds a point, so a resumed run says only what is new."""

    def file(self, path: Path) -> None:
        """A finished report or picture that belongs to the run."""


class Silent:
    """Tracks nothing: for tests, and for all processes but the first of a distributed training."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to close."""

    def settings(self, values: Mapping[str, object]) -> None:
        """Forget them."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Forget them."""

    def file(self, path: Path) -> None:
        """Forget it."""


def open_tracker(backend: Backend, folder: Path, store: Path, experiment: str) -> Tracker:
    """The tracker that a setting names.

    Args:
        backend: `tensorboard`, `mlflow` or `none` (`settings.tracking.backend`).
        folder: of this run; TensorBoard's files go to `tensorboard/` in it, and MLflow's run is named after it.
        store: MLflow's folder (`settings.tracking.store`): a SQLite database and the files of all runs. No server.
        experiment: MLflow's name for runs that are compared with one another.
    """
    if backend == "mlflow":
        from training.tracking.mlflow_store import MlflowStore  # noqa: PLC0415 - seconds to import, and only here

        return MlflowStore(store, experiment, folder)
    if backend == "tensorboard":
        from training.tracking.board import Board  # noqa: PLC0415 - likewise

        return Board(folder / "tensorboard")
    return Silent()


def tracker_of(tracking: TrackingSettings, folder: Path, experiment: str, *, is_told: bool) -> Tracker:
    """The tracker of the settings; a silent one for all processes of a distributed training but the one that writes.

    Args:
        tracking: back end and store (`VITRINE_TRACKING__*`).
        folder: of this run.
        experiment: name for runs that are compared with one another.
        is_told: whether this process writes.
    """
    return open_tracker(tracking.backend if is_told else "none", folder, resolve(tracking.store), experiment)


def how_to_see(tracking: TrackingSettings, folder: Path) -> str | None:
    """The command that shows a run's curves in a browser; None where none are kept."""
    if tracking.backend == "mlflow":
        return f"mlflow ui --backend-store-uri sqlite:///{resolve(tracking.store) / 'mlflow.db'}"
    return f"tensorboard --logdir {folder}" if tracking.backend == "tensorboard" else None

"""Curves as TensorBoard's event files: `tensorboard --logdir FOLDER` shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter


class Board:
    """A tracker that writes into a folder.

    Args:
        folder: of the event files; created with the first call.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder))
        return self._writer

    def settings(self, values: Mapping[str, object]) -> None:
        """Write them as one text, readable under TEXT."""
        writer = self._open()
        writer.add_text("settings", f"```json\n{json.dumps(dict(values), indent=1, default=str)}\n```")
        writer.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write a point of each curve."""
        writer = self._open()
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def file(self, path: Path) -> None:
        """Write the text of a Markdown file; others are left where they are."""
        if path.suffix == ".md":
            writer = self._open()
            writer.add_text(path.name, path.read_text(encoding="utf-8"))
            writer.flush()

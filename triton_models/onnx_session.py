"""ONNX Runtime sessions as serving wants them: one thread, no spinning, named inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contracts.errors import ConfigurationError


def providers() -> list[str]:
    """Where graphs run: on CUDA where onnxruntime-gpu is installed (requirements/stub-gpu.txt), else on the CPU."""
    present = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in present]


def open_session(graph: Path | bytes) -> onnxruntime.InferenceSession:
    """Load a graph from a file or from its bytes.

    One thread: the host's second core belongs to the broker and the worker, and sums keep their order.

    Raises:
        ConfigurationError: if the file is missing or no graph that this runtime reads.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(graph) if isinstance(graph, Path) else graph
    try:
        return onnxruntime.InferenceSession(source, options, providers=providers())
    except Exception as error:
        name = graph if isinstance(graph, Path) else f"{len(graph)} bytes"
        message = f"model graph {name} cannot be loaded: {error}"
        raise ConfigurationError(message) from error


class Graph:
    """One exported network; a batch of 1 is computed as a batch of 2.

    A product of one row takes another kernel than a product of several, and rounds otherwise; from two rows on, a row's
    bits do not depend on how many there are.
    """

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())
        self.shapes: Mapping[str, Any] = {entry.name: tuple(entry.shape) for entry in self._session.get_inputs()}

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """All outputs for inputs whose first axis is the batch; inputs that the graph does not use are left out."""
        used = {name: feeds[name] for name in self.inputs}
        rows = len(next(iter(used.values())))
        if rows == 1:
            used = {name: np.concatenate((array, array)) for name, array in used.items()}
        return tuple(array[:rows] for array in self._session.run(None, used))

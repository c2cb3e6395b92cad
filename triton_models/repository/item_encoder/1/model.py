# ruff: noqa: INP001 - Triton loads the file by its path
"""Triton's edge of `item_encoder`; everything else is in `triton_models.serving`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# The stub ignores PYTHONPATH.
sys.path.insert(0, os.environ.get("VITRINE_ROOT") or str(Path(__file__).resolve().parents[4]))

import triton_python_backend_utils as pb_utils

from contracts.tensors import ITEM_ENCODER_OUTPUTS
from triton_models.edge import answer
from triton_models.serving import open_encoder


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, _: dict[str, str]) -> None:
        """Load, and return when the model can answer."""
        self._served = open_encoder()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests."""
        return answer(pb_utils, requests, self._served.model.encode, ITEM_ENCODER_OUTPUTS)

    def finalize(self) -> None:
        """End threads and servers."""
        self._served.close()

"""The shims of the model repository, with a stand-in for Triton's own module."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import RankerUnavailable, TensorMismatch
from contracts.tensors import MODEL_NAMES, TensorSpec
from triton_models.config import MODELS, REPOSITORY, config_text
from triton_models.edge import answer

OUTPUTS = (TensorSpec("doubled", "INT64", (-1,)),)


@dataclass
class Tensor:
    label: str
    array: NDArray[Any]

    def name(self) -> str:
        return self.label

    def as_numpy(self) -> NDArray[Any]:
        return self.array


@dataclass
class Request:
    tensors: list[Tensor]

    def inputs(self) -> list[Tensor]:
        return self.tensors


class TritonError(Exception):
    INVALID_ARG, INTERNAL = "INVALID_ARG", "INTERNAL"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None


class PbUtils:
    Tensor, InferenceResponse, TritonError = Tensor, InferenceResponse, TritonError


def served(inputs: Any) -> dict[str, NDArray[Any]]:
    values = inputs["values"]
    if len(values) == 0:
        message = "tensor values: got int64[0], expected at least one"
        raise TensorMismatch(message, path="values")
    if values[0] < 0:
        message = "no model"
        raise RankerUnavailable(message)
    return {"doubled": values * 2 if values[0] != 9 else values * 2.0}


def call(*batches: list[int]) -> list[InferenceResponse]:
    requests = [Request([Tensor("values", np.array(values, np.int64))]) for values in batches]
    return answer(PbUtils, requests, served, OUTPUTS)


def test_every_request_is_answered_in_its_place() -> None:
    assert [response.output_tensors[0].array.tolist() for response in call([1, 2], [3])] == [[2, 4], [6]]


@pytest.mark.parametrize(("values", "code"), [([], "INVALID_ARG"), ([-1], "INTERNAL"), ([9], "INVALID_ARG")])
def test_one_bad_request_is_an_error_and_the_others_are_answered(values: list[int], code: str) -> None:
    good, bad = call([1], values)
    assert good.error is None
    assert bad.error is not None
    assert bad.error.code == code
    assert bad.output_tensors == []


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_the_committed_configuration_is_what_the_declared_tensors_give(name: str) -> None:
    assert (REPOSITORY / name / "config.pbtxt").read_text(encoding="utf-8") == config_text(name)


def test_every_model_of_the_repository_is_declared_and_its_shim_is_thin() -> None:
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    assert folders == set(MODELS) == set(MODEL_NAMES)
    for name in MODEL_NAMES:
        assert len((REPOSITORY / name / "1" / "model.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_serving_imports_neither_torch_nor_onnx() -> None:
    lines = [
        line for path in Path(REPOSITORY).parent.glob("*.py") if path.stem != "export" for line in path.read_text().splitlines()
    ]
    assert not [line for line in lines if line.startswith(("import torch", "from torch", "import onnx\n", "from onnx "))]

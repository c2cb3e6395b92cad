"""What both shims in `repository/` share: Triton's requests to arrays, arrays or our errors to its responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import TensorMismatch, VitrineError
from contracts.tensors import TensorSpec

Servable = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


def answer(pb_utils: Any, requests: Sequence[Any], servable: Servable, outputs: Sequence[TensorSpec]) -> list[Any]:
    """One response for each request; an error of ours becomes an error response, and the others are still answered."""
    return [_answer(pb_utils, request, servable, outputs) for request in requests]


def _answer(pb_utils: Any, request: Any, servable: Servable, outputs: Sequence[TensorSpec]) -> Any:
    arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
    try:
        results = servable(arrays)
        for spec in outputs:
            spec.check(results[spec.name])
    except TensorMismatch as error:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
    except VitrineError as error:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INTERNAL))
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(spec.name, np.ascontiguousarray(results[spec.name])) for spec in outputs]
    )

"""Raw KServe v2 inference over gRPC: numbers in, numbers out, a deadline, and one place where gRPC's errors become ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.errors import DependencyError, RankerTimeout, RankerUnavailable, TensorMismatch
from contracts.tensors import TensorSpec

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

MAX_MESSAGE_BYTES = 128 * 1024 * 1024  # 64 pictures of 512 x 512 are 50 MB
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A server that was restarted is found again within this time instead of gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
    # A pool of subchannels shared with other clients would share their back-off too.
    ("grpc.use_local_subchannel_pool", 1),
)

# True where waiting longer might have been enough. Every status that gRPC knows has its line; a test compares.
IS_TIMEOUT: Mapping[grpc.StatusCode, bool] = {
    grpc.StatusCode.OK: False,
    grpc.StatusCode.CANCELLED: False,
    grpc.StatusCode.UNKNOWN: False,
    grpc.StatusCode.INVALID_ARGUMENT: False,
    grpc.StatusCode.DEADLINE_EXCEEDED: True,
    grpc.StatusCode.NOT_FOUND: False,
    grpc.StatusCode.ALREADY_EXISTS: False,
    grpc.StatusCode.PERMISSION_DENIED: False,
    grpc.StatusCode.UNAUTHENTICATED: False,
    grpc.StatusCode.RESOURCE_EXHAUSTED: False,
    grpc.StatusCode.FAILED_PRECONDITION: False,
    grpc.StatusCode.ABORTED: False,
    grpc.StatusCode.OUT_OF_RANGE: False,
    grpc.StatusCode.UNIMPLEMENTED: False,
    grpc.StatusCode.INTERNAL: False,
    grpc.StatusCode.UNAVAILABLE: False,
    grpc.StatusCode.DATA_LOSS: False,
}


class InferenceClient:
    """One long-lived channel to an inference server; create it inside the running event loop.

    Args:
        address: `host:port` of the gRPC endpoint, plain text (loopback or a mesh that encrypts).
        unavailable: raised when the server refuses, dies, answers with an error or with tensors that break the
            declaration.
        timeout: raised when the deadline passes first.
    """

    def __init__(
        self,
        address: str,
        *,
        unavailable: type[DependencyError] = RankerUnavailable,
        timeout: type[DependencyError] = RankerTimeout,
    ) -> None:
        self._address = address
        self._unavailable = unavailable
        self._timeout = timeout
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self.close()

    async def close(self, grace_s: float | None = None) -> None:
        """Close the channel; calls under way are cancelled after `grace_s`, without it at once."""
        await self._channel.close(grace_s)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, NDArray[np.generic]],
        specs_in: Sequence[TensorSpec],
        specs_out: Sequence[TensorSpec],
        *,
        deadline_s: float,
    ) -> dict[str, NDArray[Any]]:
        """One call; the arrays that come back are read-only views of the reply.

        Raises:
            TensorMismatch: an input is missing or breaks its declaration; nothing was sent.
            DependencyError: the type given as `timeout` past the deadline, else the one given as `unavailable`.
        """
        request = build_request(model, inputs, specs_in)
        try:
            response = await self._stub.ModelInfer(request, timeout=deadline_s)
        except grpc.RpcError as error:
            raise self._translate(model, error, deadline_s) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            message = f"{model} at {self._address}: the channel was closed during the call"  # gRPC cancels the call then
            raise self._unavailable(message) from None
        try:
            return read_response(response, specs_out)
        except TensorMismatch as error:
            message = f"{model} at {self._address} answered with wrong tensors: {error}"
            raise self._unavailable(message) from error

    async def is_model_ready(self, model: str, *, deadline_s: float = 1.0) -> bool:
        """Whether the server says that the model is loaded; a stub that died since is not noticed by Triton 2.51."""
        try:
            reply = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=deadline_s)
        except grpc.RpcError:
            return False
        return bool(reply.ready)

    def _translate(self, model: str, error: grpc.RpcError, deadline_s: float) -> DependencyError:
        code = error.code()
        if IS_TIMEOUT.get(code, False):
            return self._timeout(f"{model} at {self._address} did not answer within {deadline_s * 1000:.0f} ms")
        return self._unavailable(f"{model} at {self._address}: {code.name}: {error.details()}")


def build_request(
    model: str, inputs: Mapping[str, NDArray[np.generic]], specs: Sequence[TensorSpec]
) -> service_pb2.ModelInferRequest:
    """The raw request for one call.

    Raises:
        TensorMismatch: an input is missing or breaks its declaration.
    """
    request = service_pb2.ModelInferRequest(model_name=model)
    raw = []
    for spec in specs:
        array = inputs.get(spec.name)
        if array is None:
            message = f"tensor {spec.name}: missing, expected {spec.dtype}{list(spec.shape)}"
            raise TensorMismatch(message, path=spec.name)
        spec.check(array)
        request.inputs.add(name=spec.name, datatype=spec.dtype, shape=array.shape)
        raw.append(array.tobytes())
    request.raw_input_contents.extend(raw)
    return request


def read_response(response: service_pb2.ModelInferResponse, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The declared outputs of a reply; others are ignored.

    The byte length of every tensor is compared with its shape: a Python stub with NumPy 2 answers OK with 0 bytes.

    Raises:
        TensorMismatch: an output is missing, or has another type, shape or length than declared.
    """
    found = dict(
        zip((o.name for o in response.outputs), zip(response.outputs, response.raw_output_contents, strict=False), strict=False)
    )
    arrays = {}
    for spec in specs:
        if spec.name not in found:
            message = f"tensor {spec.name}: missing in the reply, expected {spec.dtype}{list(spec.shape)}"
            raise TensorMismatch(message, path=spec.name)
        declared, raw = found[spec.name]
        shape = tuple(declared.shape)
        if declared.datatype != spec.dtype:
            message = f"tensor {spec.name}: got {declared.datatype}, expected {spec.dtype}"
            raise TensorMismatch(message, path=spec.name)
        expected = math.prod(shape) * spec.numpy_dtype().itemsize
        if len(raw) != expected:
            message = f"tensor {spec.name}: got {len(raw)} bytes, expected {expected} for shape {list(shape)}"
            raise TensorMismatch(message, path=spec.name)
        array = np.frombuffer(raw, dtype=spec.numpy_dtype()).reshape(shape)
        spec.check(array)
        arrays[spec.name] = array
    return arrays

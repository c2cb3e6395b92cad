"""What a client of Triton must not be able to do, tried against the real server with the flags that the stack uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.settings import Settings
from stack.triton import TritonServer

pytestmark = pytest.mark.stack

Stub = Any  # the generated stub has no types
FORBIDDEN: dict[str, Callable[[Stub], object]] = {
    "list shared memory": lambda stub: stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=5),
    "register shared memory": lambda stub: stub.SystemSharedMemoryRegister(
        service_pb2.SystemSharedMemoryRegisterRequest(name="theirs", key="/theirs", offset=0, byte_size=64), timeout=5
    ),
    "list the repository": lambda stub: stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=5),
    "load a model": lambda stub: stub.RepositoryModelLoad(
        service_pb2.RepositoryModelLoadRequest(model_name="theirs"), timeout=5
    ),
    "unload a model": lambda stub: stub.RepositoryModelUnload(
        service_pb2.RepositoryModelUnloadRequest(model_name="recommend"), timeout=5
    ),
    "read a configuration": lambda stub: stub.ModelConfig(service_pb2.ModelConfigRequest(name="recommend"), timeout=5),
    "change the log": lambda stub: stub.LogSettings(service_pb2.LogSettingsRequest(), timeout=5),
    "change the trace": lambda stub: stub.TraceSetting(service_pb2.TraceSettingRequest(), timeout=5),
}


@pytest.mark.parametrize("operation", FORBIDDEN)
def test_triton_refuses_a_client_that_tries_to(operation: str, triton: str) -> None:
    with grpc.insecure_channel(triton) as channel, pytest.raises(grpc.RpcError) as refused:
        FORBIDDEN[operation](service_pb2_grpc.GRPCInferenceServiceStub(channel))
    # The words of the restriction itself: an unknown model or region would be refused too, but for another reason.
    assert "protocol is restricted" in str(refused.value.details())


def test_what_the_worker_needs_stays_open(triton: str) -> None:
    with grpc.insecure_channel(triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready


def test_triton_listens_on_the_loopback_only_unless_told_otherwise() -> None:
    server = TritonServer(Settings(_env_file=None))
    assert server.grpc.host == server.metrics.host == "127.0.0.1"

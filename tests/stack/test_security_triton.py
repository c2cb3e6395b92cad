"""What a client of Triton must not be able to do, tried against the real server with the flags that the stack uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import psutil
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
        service_pb2.RepositoryModelUnloadRequest(model_name="page_ranker"), timeout=5
    ),
    "read a configuration": lambda stub: stub.ModelConfig(service_pb2.ModelConfigRequest(name="page_ranker"), timeout=5),
    "change the log": lambda stub: stub.LogSettings(service_pb2.LogSettingsRequest(), timeout=5),
    "change the trace": lambda stub: stub.TraceSetting(service_pb2.TraceSettingRequest(), timeout=5),
}


@pytest.mark.parametrize("operation", FORBIDDEN)
def test_triton_refuses_a_client_that_tries_to(operation: str, triton: str) -> None:
    with grpc.insecure_channel(triton) as channel, pytest.raises(grpc.RpcError) as refused:
        FORBIDDEN[operation](service_pb2_grpc.GRPCInferenceServiceStub(channel))
    # The words of the restriction itself: an unknown model or region would be refused too, but for another reason.
    assert "protocol is restricted" in str(refused.value.details())


def restricted_key(address: str) -> tuple[str, str]:
    """Name and secret that open the restricted protocols, as everybody on the machine can read them."""
    port = address.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if f"--grpc-port={port}" in arguments:
            (option,) = (argument for argument in arguments if argument.startswith("--grpc-restricted-protocol="))
            name, _, secret = option.rpartition(":")[2].partition("=")
            return name, secret
    pytest.fail(f"no tritonserver listens on {address}")


def test_whoever_reads_the_key_among_the_arguments_can_still_not_use_it(triton: str) -> None:
    name, secret = restricted_key(triton)
    assert len(secret) >= 32
    request = service_pb2.SystemSharedMemoryStatusRequest()
    with grpc.insecure_channel(triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for header in (name.lower(), f"triton-grpc-protocol-{name.lower()}"):
            with pytest.raises(grpc.RpcError) as refused:
                stub.SystemSharedMemoryStatus(request, timeout=5, metadata=((header, secret),))
            assert "protocol is restricted" in str(refused.value.details())
        with pytest.raises((grpc.RpcError, ValueError)):  # the name as it is, is no name of a header
            stub.SystemSharedMemoryStatus(request, timeout=5, metadata=((f"triton-grpc-protocol-{name}", secret),))


def test_every_start_draws_another_key() -> None:
    server = TritonServer(Settings(_env_file=None))
    starts = [" ".join(server.child()._command) for _ in range(2)]
    keys = [start.partition(":ADMIN=")[2].partition(" ")[0] for start in starts]
    assert keys[0] != keys[1]
    assert min(map(len, keys)) >= 32
    assert all("--model-control-mode=explicit" in start and "--allow-http=false" in start for start in starts)


def test_what_the_worker_needs_stays_open(triton: str) -> None:
    with grpc.insecure_channel(triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready


def test_triton_listens_on_the_loopback_only_unless_told_otherwise() -> None:
    server = TritonServer(Settings(_env_file=None))
    assert server.grpc.host == server.metrics.host == "127.0.0.1"

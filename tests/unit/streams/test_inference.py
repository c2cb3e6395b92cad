"""The gRPC client against a real gRPC server in this process that answers whatever a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.errors import EncoderUnavailable, RankerTimeout, RankerUnavailable, TensorMismatch
from contracts.tensors import TensorSpec
from streams.inference import IS_TIMEOUT, InferenceClient

IN = (TensorSpec("state", "FP32", (-1, -1)), TensorSpec("ring", "INT64", (-1, 10)))
OUT = (TensorSpec("items", "INT64", (-1, 2)),)
INPUTS: dict[str, np.ndarray[Any, Any]] = {
    "state": np.zeros((3, 4), np.float32),
    "ring": np.arange(30, dtype=np.int64).reshape(3, 10),
}
Behaviour = Callable[[Any, Any], Awaitable[Any]]


def reply(
    items: np.ndarray[Any, Any], *, dtype: str = "INT64", shape: tuple[int, ...] | None = None, name: str = "items"
) -> Any:
    response = service_pb2.ModelInferResponse(model_name="page_ranker")
    response.outputs.add(name=name, datatype=dtype, shape=shape or items.shape)
    response.raw_output_contents.append(items.tobytes())
    return response


def call(
    behaviour: Behaviour, inputs: dict[str, np.ndarray[Any, Any]] = INPUTS, deadline_s: float = 5.0, **errors: Any
) -> dict[str, Any]:
    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        async def ModelInfer(self, request: Any, context: Any) -> Any:
            return await behaviour(request, context)

    async def run() -> dict[str, Any]:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with InferenceClient(f"127.0.0.1:{port}", **errors) as client:
                return await client.infer("page_ranker", inputs, IN, OUT, deadline_s=deadline_s)
        finally:
            await server.stop(None)

    return asyncio.run(run())


async def answer_the_ring(request: Any, _: Any) -> Any:
    assert [(i.name, i.datatype, list(i.shape)) for i in request.inputs] == [
        ("state", "FP32", [3, 4]),
        ("ring", "INT64", [3, 10]),
    ]
    ring = np.frombuffer(request.raw_input_contents[1], np.int64).reshape(3, 10)
    return reply(np.ascontiguousarray(ring[:, :2]))


def test_arrays_go_and_come_back_unchanged() -> None:
    assert call(answer_the_ring)["items"].tolist() == [[0, 1], [10, 11], [20, 21]]


def test_every_status_of_grpc_has_its_line() -> None:
    assert set(IS_TIMEOUT) == set(grpc.StatusCode)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=lambda c: c.name)
def test_every_status_becomes_one_of_our_errors(code: grpc.StatusCode) -> None:
    async def fail(_: Any, context: Any) -> Any:
        await context.abort(code, "the stub is gone")

    with pytest.raises((RankerTimeout, RankerUnavailable)) as caught:
        call(fail)
    assert isinstance(caught.value, RankerTimeout) == (code is grpc.StatusCode.DEADLINE_EXCEEDED)
    assert isinstance(caught.value, RankerTimeout) or f"{code.name}: the stub is gone" in str(caught.value)


def test_a_server_that_hangs_is_given_up_at_the_deadline() -> None:
    async def hang(_: Any, __: Any) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(RankerTimeout, match="within 50 ms"):
        call(hang, deadline_s=0.05)


def test_a_call_under_way_when_the_channel_is_closed_is_unavailable_and_a_cancelled_caller_is_cancelled() -> None:
    async def run(end: Callable[[InferenceClient, asyncio.Task[Any]], Awaitable[object]]) -> BaseException | None:
        class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
            async def ModelInfer(self, _: Any, __: Any) -> Any:
                called.set()
                await asyncio.Event().wait()

        server, called = grpc.aio.server(), asyncio.Event()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with InferenceClient(f"127.0.0.1:{port}") as client:
            task = asyncio.create_task(client.infer("page_ranker", INPUTS, IN, OUT, deadline_s=20))
            await called.wait()
            await end(client, task)
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        await server.stop(None)
        return outcome if isinstance(outcome, BaseException) else None

    async def cancelled(_: InferenceClient, task: asyncio.Task[Any]) -> None:
        task.cancel()

    assert isinstance(asyncio.run(run(lambda client, _: client.close())), RankerUnavailable)
    assert isinstance(asyncio.run(run(cancelled)), asyncio.CancelledError)


def test_no_server_at_all_is_unavailable_and_the_error_type_is_the_callers() -> None:
    async def run() -> None:
        async with InferenceClient("127.0.0.1:1", unavailable=EncoderUnavailable, timeout=EncoderUnavailable) as client:
            await client.infer("item_encoder", INPUTS, IN, OUT, deadline_s=5.0)

    with pytest.raises(EncoderUnavailable, match=r"item_encoder at 127\.0\.0\.1:1"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (reply(np.zeros(0, np.int64), shape=(3, 2)), "got 0 bytes, expected 48"),
        (reply(np.zeros((3, 2), np.float32), dtype="FP32"), "got FP32, expected INT64"),
        (reply(np.zeros((3, 3), np.int64)), r"got int64\[3, 3\]"),
        (reply(np.zeros((3, 2), np.int64), name="others"), "missing in the reply"),
    ],
    ids=["no bytes", "type", "shape", "name"],
)
def test_a_reply_with_wrong_tensors_is_refused(response: Any, text: str) -> None:
    async def answer(_: Any, __: Any) -> Any:
        return response

    with pytest.raises(RankerUnavailable, match=text):
        call(answer)


@pytest.mark.parametrize("inputs", [{"state": INPUTS["state"]}, {**INPUTS, "ring": np.zeros((3, 9), np.int64)}])
def test_a_wrong_request_is_never_sent(inputs: dict[str, np.ndarray[Any, Any]]) -> None:
    async def fail(_: Any, __: Any) -> Any:
        pytest.fail("the request was sent")

    with pytest.raises(TensorMismatch, match="ring"):
        call(fail, inputs)


def test_a_server_that_is_away_is_tried_again_at_least_twice_a_second() -> None:
    """The back-off of gRPC itself begins with a second and grows to two minutes: four tries in the time given here."""
    tries = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with InferenceClient(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
            end = asyncio.get_running_loop().time() + 6.0
            while tries < 5 and asyncio.get_running_loop().time() < end:
                with pytest.raises((RankerUnavailable, RankerTimeout)):
                    await client.infer("page_ranker", INPUTS, IN, OUT, deadline_s=0.2)
                await asyncio.sleep(0.01)
        server.close()

    asyncio.run(run())
    assert tries >= 5

"""`python -m benchmarks.gateway_load`: events per second that the gateway accepts, and how long an acceptance takes.

Bounded open loop: requests are due at fixed times whether or not earlier ones are answered, latency counts from the due
time, and beyond `--outstanding` unanswered requests a due one is not sent but counted as shed. So a gateway that falls
behind shows it instead of slowing the load down. At the end every acceptance is compared with the topic's offsets.
Broker, gateway and this driver share the machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import httpx
import numpy as np
import psutil
import typer
import uvloop
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console

from benchmarks import machine
from contracts.settings import ROOT, Settings
from contracts.topics import EVENTS
from stack.addresses import free_address, free_port
from stack.broker import Broker
from stack.declaration import declare_topics
from stack.environment import child_environment, overridden
from stack.process import Child

RESULTS = Path(__file__).parent / "results"
_VISITORS = 5_000
_EVENT = (
    '{"event_id":"%s-%d","event_name":"view_item","event_time":%d,"sent_at":%d,"visitor_id":"v-%d","session_id":"s-%d",'
    '"page_view_id":"pv-%d","page":{"page_type":"product","uri":"https://shop.example/p/SKU_%d",'
    '"page_categories":["Apparel > Shirts"]},"item_list_id":"home","items":[{"item_id":"SKU_%d","index":3,"price":19.9}],'
    '"currency":"EUR","context":{"device_type":"mobile","locale":"de-DE"},"consent":{"personalization":true,"ads":true}}'
)


@dataclass
class Outcome:
    """What one load gave; latencies in ms from the due time."""

    latencies: list[float] = field(default_factory=list)
    accepted: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    shed: int = 0
    failed: int = 0


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection with one request in flight; made for short answers with Content-Length."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the gateway hung up"))

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._buffer) >= end + 4 + length and self._answer is not None:
            self._buffer.clear()
            self._answer.set_result(int(head[9:12]))

    def post(self, request: bytes) -> asyncio.Future[int]:
        """Send one request; its status."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._answer.set_exception(ConnectionError("the gateway hung up"))
        else:
            self._transport.write(request)
        return self._answer


class Load:
    """One open loop at one rate.

    Args:
        host: of the gateway.
        port: likewise.
        rate: events per second.
        batch: events in one request.
        outstanding: most unanswered requests.
    """

    def __init__(self, host: str, port: int, rate: float, batch: int, outstanding: int) -> None:
        self._place = (host, port)
        self._interval = batch / rate
        self._batch = batch
        self._outstanding = outstanding
        self._head = f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
        self._name = f"{time.time_ns():x}"
        self._number = 0

    def _request(self) -> bytes:
        now = int(time.time() * 1000)
        events = []
        for _ in range(self._batch):
            self._number = n = self._number + 1
            visitor, item = n * 7919 % _VISITORS, n % 1500
            events.append(_EVENT % (self._name, n, now, now, visitor, visitor, n, item, item))
        body = events[0] if self._batch == 1 else "[" + ",".join(events) + "]"
        return f"{self._head}{len(body)}\r\n\r\n{body}".encode()

    async def run(self, seconds: float) -> Outcome:
        """Send for that long and wait for the last answers."""
        outcome, tasks = Outcome(), set[asyncio.Task[None]]()
        idle = deque([await self._connect() for _ in range(min(self._outstanding, 32))])
        begin = time.perf_counter() + 0.05
        for number in range(int(seconds / self._interval)):
            due = begin + number * self._interval
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if len(tasks) >= self._outstanding:
                outcome.shed += 1
                continue
            task = asyncio.create_task(self._one(due, outcome, idle))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=20)
        return outcome

    async def _connect(self) -> Connection:
        return (await asyncio.get_running_loop().create_connection(Connection, *self._place))[1]

    async def _one(self, due: float, outcome: Outcome, idle: deque[Connection]) -> None:
        try:
            connection = idle.popleft() if idle else await self._connect()
            status = await connection.post(self._request())
        except OSError:
            outcome.failed += 1
            return
        idle.append(connection)
        if status == 202:
            outcome.accepted += self._batch
            outcome.latencies.append((time.perf_counter() - due) * 1000)
        else:
            outcome.refused[status] = outcome.refused.get(status, 0) + 1


@contextmanager
def stack(settings: Settings) -> Iterator[Child]:
    """A broker and a gateway of their own; the gateway's process."""
    server = Broker(settings)
    server.prepare()
    broker = server.child()
    broker.start()
    log = settings.stack.var / "gateway.log"
    gateway = Child("gateway", [sys.executable, "-m", "gateway"], child_environment(settings), log, ROOT)
    try:
        server.wait_until_answering(broker)
        declare_topics(settings.kafka)
        gateway.start()
        deadline = time.monotonic() + 30
        while not _is_healthy(settings):
            if time.monotonic() > deadline or not gateway.is_alive:
                message = f"the gateway did not get healthy:\n{gateway.log_tail()}"
                raise RuntimeError(message)
            time.sleep(0.1)
        yield gateway
    finally:
        gateway.stop(5)
        broker.stop(10)


def _is_healthy(settings: Settings) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{settings.gateway.port}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def written(settings: Settings) -> int:
    """Records in the events topic."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers)
    places = [TopicPartition(settings.kafka.topic_prefix + EVENTS, number) for number in range(settings.kafka.partitions)]
    total = sum(consumer.end_offsets(places).values())
    consumer.close()
    return int(total)


def measure(settings: Settings, gateway: Child, rate: float, batch: int, seconds: float, outstanding: int) -> dict[str, Any]:
    """One load, compared with the topic."""
    process = psutil.Process(gateway.pid)
    load = Load("127.0.0.1", settings.gateway.port, rate, batch, outstanding)
    before, cpu, own = written(settings), process.cpu_times(), time.process_time()
    began = time.monotonic()
    outcome = uvloop.run(load.run(seconds))
    elapsed = time.monotonic() - began
    spent, driver_seconds = process.cpu_times(), time.process_time() - own
    gateway_seconds = spent.user + spent.system - cpu.user - cpu.system
    latencies = np.array(outcome.latencies or [float("nan")])
    in_topic = written(settings) - before
    return {
        "offered_events_per_second": rate,
        "events_per_request": batch,
        "seconds": seconds,
        "accepted_events_per_second": round(outcome.accepted / elapsed, 1),
        "accepted": outcome.accepted,
        "in_topic": in_topic,
        "lost": max(0, outcome.accepted - in_topic),
        "shed_requests": outcome.shed,
        "failed_requests": outcome.failed,
        "refused_by_status": outcome.refused,
        "latency_ms": {
            name: round(float(np.percentile(latencies, point)), 2)
            for name, point in (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100))
        },
        "gateway_cpu_share": round(gateway_seconds / elapsed, 3),
        "gateway_cpu_ms_per_event": round(gateway_seconds * 1000 / max(1, outcome.accepted), 4),
        "driver_cpu_share": round(driver_seconds / elapsed, 3),
        "gateway_rss_mb": round(process.memory_info().rss / 1e6, 1),
    }


def main(
    rate: Annotated[float, typer.Option(min=1, help="Events per second.")] = 2_000.0,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one measurement.")] = 20.0,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Events per request; give it several times.")] = None,
    outstanding: Annotated[int, typer.Option(min=1, help="Most unanswered requests.")] = 500,
    name: Annotated[str, typer.Option(help="Name of the result file.")] = "gateway_load",
) -> None:
    """Measure on a quiet machine; the load average is recorded."""
    console = Console()
    before = machine.describe()
    with tempfile.TemporaryDirectory(prefix="vitrine-gateway-load-") as folder:
        settings = overridden(
            Settings(),
            {
                "kafka": {"bootstrap_servers": free_address()},
                "stack": {"var": Path(folder), "controller_port": free_port()},
                "gateway": {"port": free_port(), "rate_limit_per_second": 1e6},
            },
        )
        with stack(settings) as gateway:
            measure(settings, gateway, min(rate, 500), 10, 3.0, outstanding)  # warm: JIT of the broker, connections
            runs = []
            for size in batch or [1, 10]:
                runs.append(measure(settings, gateway, rate, size, seconds, outstanding))
                console.print_json(json.dumps(runs[-1]))
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name}.json"
    target.write_text(json.dumps({"machine": before, "runs": runs}, indent=1) + "\n")
    console.print(f"written: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    typer.run(main)

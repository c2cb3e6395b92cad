"""Traces: off costs and loads nothing; on, the span's context travels with the records and reaches the collector."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.tracing import OtlpTracing, PassThrough, create_tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector:
    """An OTLP collector that keeps what it gets."""

    def __init__(self) -> None:
        received: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def test_a_request_s_span_is_a_child_of_the_client_s_and_parent_of_the_records(collector: Collector) -> None:
    tracing = create_tracing(f"http://127.0.0.1:{collector.server.server_port}")
    assert isinstance(tracing, OtlpTracing)
    with tracing.request("POST shop.events.v1", {"traceparent": PARENT}) as headers:
        made = dict(headers)["traceparent"].decode()
    assert made.split("-")[1] == PARENT.split("-")[1]
    assert made.split("-")[2] != PARENT.split("-")[2]
    tracing.page(made.encode(), {"messaging.kafka.offset": 3})
    tracing.page(None, {})
    tracing.page(b"nonsense", {})
    tracing.close()
    ((path, body),) = collector.received
    assert path == "/v1/traces"
    assert bytes.fromhex(PARENT.split("-")[1]) in body
    assert b"POST shop.events.v1" in body
    assert b"page received" in body


def test_off_passes_a_client_s_context_on_and_nothing_else() -> None:
    tracing = create_tracing(None)
    assert isinstance(tracing, PassThrough)
    for value, expected in ((PARENT, (("traceparent", PARENT.encode()),)), ("x", ()), (None, ())):
        with tracing.request("n", {} if value is None else {"traceparent": value}) as headers:
            assert headers == expected


def test_off_does_not_load_the_sdk() -> None:
    program = "import sys, gateway.app; from gateway.tracing import create_tracing; create_tracing(None); sys.exit("
    program += "any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""`/metrics`, `/healthz` and `/livez` of a process on an address of its own, from a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from contracts.errors import ConfigurationError


@dataclass(frozen=True)
class Health:
    """Whether the process does its work, and in words why not.

    Attributes:
        healthy: it does.
        detail: why not.
        busy: it does not yet, but gets on with what it needs for it: no reason to end it.
    """

    healthy: bool
    detail: str = "ok"
    busy: bool = False


def serve(address: str, registry: CollectorRegistry, health: Callable[[], Health], *, setting: str) -> ThreadingHTTPServer:
    """Serve `/metrics`, `/healthz` and `/livez` until the process ends or `shutdown` is called.

    `/healthz` answers 200 or 503 with JSON: does it do its work? `/livez` answers 503 only where ending the process would help.

    Args:
        address: `host:port`.
        registry: what `/metrics` shows.
        health: asked each time; must not block.
        setting: named in the error.

    Raises:
        ConfigurationError: if the address is malformed or taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path in ("/healthz", "/livez"):
                state = health()
                is_good = state.healthy or (state.busy and self.path == "/livez")
                self._answer(200 if is_good else 503, "application/json", json.dumps(asdict(state)).encode())
            else:
                self._answer(404, "text/plain", b"only /metrics, /healthz and /livez are here\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), Handler)
    except (OSError, ValueError) as error:
        message = f"{setting}={address} cannot be served: {error}"
        raise ConfigurationError(message) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server

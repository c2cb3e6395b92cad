"""The metrics and health endpoint, and the log format."""

from __future__ import annotations

import json
import logging

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from contracts.errors import ConfigurationError
from monitoring.logs import JsonFormatter
from monitoring.server import Health, serve
from stack.addresses import free_address


def test_metrics_and_health_are_served() -> None:
    registry = CollectorRegistry()
    Counter("vitrine_things_total", "Things", registry=registry).inc(3)
    state = [Health(healthy=True)]
    address = free_address()
    server = serve(address, registry, lambda: state[0], setting="X")
    try:
        assert "vitrine_things_total 3.0" in httpx.get(f"http://{address}/metrics").text
        assert httpx.get(f"http://{address}/healthz").json() == {"healthy": True, "detail": "ok", "busy": False}
        state[0] = Health(healthy=False, detail="standing still")
        answer = httpx.get(f"http://{address}/healthz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "standing still")
        assert httpx.get(f"http://{address}/livez").status_code == 503
        state[0] = Health(healthy=False, busy=True, detail="reading")
        assert httpx.get(f"http://{address}/healthz").status_code == 503
        assert httpx.get(f"http://{address}/livez").status_code == 200
        assert httpx.get(f"http://{address}/other").status_code == 404
        with pytest.raises(ConfigurationError, match=f"VITRINE_WORKER__METRICS_ADDRESS={address}"):
            serve(address, registry, lambda: state[0], setting="VITRINE_WORKER__METRICS_ADDRESS")
    finally:
        server.shutdown()
        server.server_close()


def test_a_log_line_is_json_with_its_extras() -> None:
    record = logging.LogRecord("streams", logging.WARNING, __file__, 1, "gap of %d", (3,), None)
    record.partition = 7
    line = json.loads(JsonFormatter("worker").format(record))
    assert (line["message"], line["partition"], line["process"], line["level"]) == ("gap of 3", 7, "worker", "WARNING")

"""The operations page's data: queries against Prometheus, the supervisor's status, the gateway's own figures."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from contracts.settings import Settings
from gateway.metrics import GatewayMetrics
from gateway.observation import SERIES_QUERIES, SUMMARY_QUERIES, Observatory
from monitoring.metrics import CatalogMetrics, WorkerMetrics


def observatory(tmp_path: Path, answer: Any) -> Observatory:
    settings = Settings.model_validate({"stack": {"var": tmp_path}})
    return Observatory(settings, httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def test_every_query_asks_for_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    for metrics in (GatewayMetrics, WorkerMetrics, CatalogMetrics):
        metrics.create(registry)
    names = set()
    for family in registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket"], "info": ["_info"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    for query in {**SUMMARY_QUERIES, **SERIES_QUERIES}.values():
        asked = set(re.findall(r"vitrine_\w+", query))
        assert asked
        assert asked <= names


def test_answers_become_numbers_or_objects_by_label_in_the_order_of_the_stages(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        assert "{window}" not in query
        if "by (le, stage)" in query:
            result = [
                {"metric": {"stage": stage}, "value": [0, value]} for stage, value in (("rules", "0.001"), ("queue", "NaN"))
            ]
        elif query == "sum(vitrine_sessions_active)":
            result = [{"metric": {}, "value": [0, "7"]}]
        elif "model_info" in query:
            result = [{"metric": {"__name__": "x", "job": "worker", "version": "3"}, "value": [0, "1"]}]
        else:
            result = []
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    figures = asyncio.run(observatory(tmp_path, answer).summary())
    assert figures is not None
    assert list(figures["stage_p99_seconds"].items()) == [("queue", None), ("rules", 0.001)]
    assert figures["sessions"] == 7
    assert figures["model"] == {"version": "3"}
    assert figures["lag_messages"] is None


def test_series_are_lines_of_points(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        span = request.url.params
        assert int(span["end"]) - int(span["start"]) == 15 * 60
        result = [{"metric": {}, "values": [[10, "1"], [20, "+Inf"]]}]
        return httpx.Response(200, json={"data": {"result": result}})

    series = asyncio.run(observatory(tmp_path, answer).series(15, 1_800_000_000_000))
    assert series is not None
    assert series["series"]["events_per_second"] == [{"label": "", "points": [[10, 1.0], [20, None]]}]


@pytest.mark.parametrize(
    "response", [httpx.Response(503), httpx.Response(200, text="<html>"), httpx.Response(200, json={"data": None})]
)
def test_without_a_sound_prometheus_there_are_no_figures_and_no_error(tmp_path: Path, response: httpx.Response) -> None:
    assert asyncio.run(observatory(tmp_path, lambda _: response).summary()) is None
    assert asyncio.run(observatory(tmp_path, lambda _: response).series(5, 0)) is None


def test_the_parts_are_as_the_supervisor_wrote_them(tmp_path: Path) -> None:
    parts = observatory(tmp_path, lambda _: httpx.Response(503)).parts()
    assert parts["up"] is False
    (tmp_path / "run").mkdir()
    process = {"name": "triton", "pid": 1, "healthy": True, "restarts": 0}
    status = {"up": True, "processes": [process], "supervisor_pid": os.getpid(), "notes": []}
    (tmp_path / "run" / "status.json").write_text(json.dumps(status))
    parts = observatory(tmp_path, lambda _: httpx.Response(503)).parts()
    assert parts["up"] is True
    assert parts["processes"] == [process]

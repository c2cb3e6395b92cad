"""Metric names, alert rules and dashboards hang together."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from contracts.settings import ROOT
from gateway.metrics import GatewayMetrics
from monitoring import dashboards, panels
from monitoring.metrics import CatalogMetrics, FeedbackMetrics, WorkerMetrics
from monitoring.rollout_metrics import RolloutMetrics
from triton_models.metrics import IndexMetrics, RankerMetrics

ALERTS = ROOT / "monitoring" / "alerts.yml"
# Served by Triton itself (2.51), and by Prometheus.
FOREIGN = {"nv_inference_request_duration_us", "nv_inference_request_success", "nv_inference_request_failure", "up"}
SUFFIX = re.compile(r"_(bucket|sum|count)$")
FORBIDDEN_LABELS = {
    "visitor",
    "visitor_id",
    "user",
    "user_id",
    "session",
    "session_id",
    "item",
    "item_id",
    "event_id",
    "tenant",
}


def families() -> dict[str, tuple[str, set[str]]]:
    """Name as exposed to (type, labels), of all our processes."""
    found = {}
    of_workers = (WorkerMetrics, FeedbackMetrics, CatalogMetrics, RolloutMetrics)
    for create in (*of_workers, GatewayMetrics, IndexMetrics, RankerMetrics):
        registry = CollectorRegistry()
        create.create(registry)
        for collector in registry._collector_to_names:
            (family,) = list(collector.describe())  # type: ignore[attr-defined]
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            found[family.name + suffix] = (family.type, set(collector._labelnames))  # type: ignore[attr-defined]
    return found


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_of(query: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', "", query)
    names = set(re.findall(r"\b(?:vitrine|nv)_[a-z0-9_]+|\bup\b", re.sub(r"vitrine:[a-z0-9_:]+", "", bare)))
    return {SUFFIX.sub("", name) for name in names}


def recorded(query: str) -> set[str]:
    return set(re.findall(r"vitrine:[a-z0-9_:]+", query))


def test_names_have_our_prefix_and_a_base_unit() -> None:
    for name, (kind, _) in families().items():
        assert name.startswith("vitrine_"), name
        assert not re.search(r"_(ms|milliseconds|us|micros|minutes|kb|mb)(_|$)", name), name
        assert (kind == "counter") == name.endswith("_total"), name


def test_no_label_names_a_person_or_an_item() -> None:
    for name, (_, labels) in families().items():
        assert not labels & FORBIDDEN_LABELS, name


def test_every_metric_of_rules_and_dashboards_exists() -> None:
    known = set(families()) | FOREIGN
    records = {rule["record"] for rule in rules() if "record" in rule}
    for query in [rule["expr"] for rule in rules()] + dashboards.queries():
        assert metrics_of(query) <= known, query
        assert recorded(query) <= records, query


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_committed_dashboards_are_what_the_code_makes(dashboard: panels.Dashboard) -> None:
    file = dashboards.FOLDER / f"{dashboard.uid}.json"
    assert file.read_text() == panels.text(dashboard), "run python -m monitoring.dashboards"
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in json.loads(file.read_text())["panels"])


def test_every_alert_has_its_runbook() -> None:
    for rule in rules():
        if "alert" in rule:
            page = ROOT / rule["annotations"]["runbook"]  # type: ignore[index]
            assert rule["alert"] in page.read_text(), f"{page} does not name {rule['alert']}"


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing: install Debian's package prometheus")
    finished = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_alerts_ring_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "monitoring/tests/alerts_test.yml")


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    for file in (ROOT / "monitoring").glob("*.yml"):
        shutil.copy(file, tmp_path)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_alertmanager_accepts_its_configuration() -> None:
    program = shutil.which("amtool")
    if program is None:
        routes = yaml.safe_load((ROOT / "monitoring" / "alertmanager.yml").read_text())
        names = {receiver["name"] for receiver in routes["receivers"]}
        assert {routes["route"]["receiver"], *(route["receiver"] for route in routes["route"]["routes"])} <= names
        return
    finished = subprocess.run(
        [program, "check-config", "monitoring/alertmanager.yml"], cwd=ROOT, capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_what_can_go_wrong_is_counted_from_zero() -> None:
    registry = CollectorRegistry()
    WorkerMetrics.create(registry)
    for name, labels in (
        ("vitrine_pages_total", {"page_type": "home", "degraded": "true"}),
        ("vitrine_fallbacks_total", {"reason": "triton_down"}),
        ("vitrine_dead_letters_total", {"reason": "malformed"}),
        ("vitrine_dropped_batches_total", {"reason": "rebalance"}),
    ):
        assert registry.get_sample_value(name, labels) == 0.0, name

"""The pieces of a Grafana dashboard and its JSON model; the dashboards themselves are in `monitoring.dashboards`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: what it shows.
        queries: PromQL by legend.
        unit: Grafana's unit id: s, ms, µs, reqps, percentunit, short …
        kind: timeseries, stat or heatmap.
        width: of 24 columns.
        about: help text behind the (i).
        limit: a red line, such as an objective.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    about: str = ""
    limit: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """A page of panels."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    tags: tuple[str, ...] = field(default=("vitrine",))


def _panel(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.limit is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.limit}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(65 + place), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON model of a dashboard; panels are laid out left to right, 24 columns wide."""
    panels, x, y = [], 0, 0
    height = 4
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.width > 24:
            x, y = 0, y + height
        height = 4 if panel.kind == "stat" else 8
        panels.append(_panel(panel, number, x, y, height))
        x += panel.width
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": list(dashboard.tags),
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "panels": panels,
    }


def text(dashboard: Dashboard) -> str:
    """The committed form."""
    return json.dumps(render(dashboard), indent=1, ensure_ascii=False) + "\n"

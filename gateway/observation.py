"""What the operations page shows: figures of the live Prometheus, else the gateway's own, and the health of each part."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from contracts.settings import Settings, resolve
from monitoring.metrics import STAGES

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 1.5

_STAGE = "sum by (le, stage) (rate(vitrine_stage_duration_seconds_bucket[{window}]))"
SUMMARY_QUERIES = {
    "stage_p50_seconds": f"histogram_quantile(0.5, {_STAGE})",
    "stage_p99_seconds": f"histogram_quantile(0.99, {_STAGE})",
    "events_per_second": "sum(rate(vitrine_events_total[{window}]))",
    "pages_per_second": "sum(rate(vitrine_pages_total[{window}]))",
    "degraded_per_second": 'sum(rate(vitrine_fallbacks_total{{reason!="triton_slow"}}[{window}]))',
    "accepted_per_second": 'sum(rate(vitrine_gateway_events_total{{outcome="accepted"}}[{window}]))',
    "lag_messages": "sum(vitrine_consumer_lag_messages)",
    "lag_seconds": "max(vitrine_consumer_lag_seconds)",
    "sessions": "sum(vitrine_sessions_active)",
    "dead_letters_per_second": "sum by (reason) (rate(vitrine_dead_letters_total[{window}]))",
    "fallbacks_per_second": "sum by (reason) (rate(vitrine_fallbacks_total[{window}]))",
    "index_items": "max(vitrine_item_view_items)",
    "model": "vitrine_ranker_model_info",
}
SERIES_QUERIES = {
    "event_to_page_p50_seconds": "histogram_quantile(0.5, sum by (le) (rate(vitrine_stage_duration_seconds_bucket"
    '{{stage="event_to_page"}}[{window}])))',
    "event_to_page_p99_seconds": "histogram_quantile(0.99, sum by (le) (rate(vitrine_stage_duration_seconds_bucket"
    '{{stage="event_to_page"}}[{window}])))',
    "stage_p99_seconds": SUMMARY_QUERIES["stage_p99_seconds"],
    "events_per_second": SUMMARY_QUERIES["events_per_second"],
    "pages_per_second": SUMMARY_QUERIES["pages_per_second"],
    "lag_messages": SUMMARY_QUERIES["lag_messages"],
    "lag_seconds": SUMMARY_QUERIES["lag_seconds"],
}


class Observatory:
    """Asks Prometheus and reads the supervisor's status file.

    Args:
        settings: where both are.
        client: HTTP client, for tests; made at the first question where None.
    """

    def __init__(self, settings: Settings, client: httpx.AsyncClient | None = None) -> None:
        self._address = f"http://{settings.monitoring.prometheus_address}"
        self._status: Path = resolve(settings.stack.var) / "run" / "status.json"
        self._client = client

    async def close(self) -> None:
        """Close the connections to Prometheus."""
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, path: str, parameters: dict[str, str]) -> list[dict[str, Any]] | None:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS)
        try:
            answer = await self._client.get(self._address + path, params=parameters)
            answer.raise_for_status()
            result: list[dict[str, Any]] = answer.json()["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            _LOG.debug("Prometheus did not answer", extra={"error": str(error)})
            return None
        return result

    async def summary(self, window: str = "1m") -> dict[str, Any] | None:
        """The figures of :data:`SUMMARY_QUERIES` now; None where Prometheus does not answer.

        A query with one unlabelled series gives a number, one with labels an object, none null.
        """
        names = list(SUMMARY_QUERIES)
        answers = await asyncio.gather(
            *(self._ask("/api/v1/query", {"query": SUMMARY_QUERIES[name].format(window=window)}) for name in names)
        )
        if all(answer is None for answer in answers):
            return None
        figures: dict[str, Any] = {}
        for name, answer in zip(names, answers, strict=True):
            if name == "model":
                figures[name] = _labels(answer or [])
            else:
                figures[name] = _values(answer or [])
        return figures

    async def series(self, minutes: int, now_ms: int, window: str = "1m") -> dict[str, Any] | None:
        """The figures of :data:`SERIES_QUERIES` over the last minutes, at most 180 points each; None as above."""
        step = max(2, minutes * 60 // 180)
        end = now_ms // 1000 // step * step
        span = {"start": str(end - minutes * 60), "end": str(end), "step": str(step)}
        names = list(SERIES_QUERIES)
        answers = await asyncio.gather(
            *(self._ask("/api/v1/query_range", {"query": SERIES_QUERIES[name].format(window=window), **span}) for name in names)
        )
        if all(answer is None for answer in answers):
            return None
        return {
            "step_seconds": step,
            "series": {name: _lines(answer or []) for name, answer in zip(names, answers, strict=True)},
        }

    def parts(self) -> dict[str, Any]:
        """Health of each process as the supervisor's canary last found it."""
        try:
            status: dict[str, Any] = json.loads(self._status.read_text())
        except (OSError, ValueError):
            return {"up": False, "processes": [], "notes": ["no supervisor runs here: the parts were started by hand"]}
        pid = status.get("supervisor_pid")
        is_up = bool(status.get("up")) and isinstance(pid, int) and psutil.pid_exists(pid)
        keep = ("processes", "addresses", "notes")
        return {"up": is_up, **{name: status.get(name, []) for name in keep}}


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _name(labels: dict[str, str]) -> str:
    return ",".join(value for name, value in sorted(labels.items()) if name != "__name__")


def _values(result: Sequence[dict[str, Any]]) -> Any:
    if not result:
        return None
    if len(result) == 1 and not _name(result[0]["metric"]):
        return _number(result[0]["value"][1])
    values = {_name(line["metric"]): _number(line["value"][1]) for line in result}
    ordered = [stage for stage in STAGES if stage in values]
    return {name: values[name] for name in [*ordered, *(name for name in values if name not in ordered)]}


def _labels(result: Sequence[dict[str, Any]]) -> dict[str, str]:
    skipped = ("__name__", "instance", "job", "process")
    return {name: value for name, value in result[0]["metric"].items() if name not in skipped} if result else {}


def _lines(result: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"label": _name(line["metric"]), "points": [[int(time), _number(value)] for time, value in line["values"]]}
        for line in result
    ]

"""The long run: steady traffic for hours, and whether anything grows that must not.

Visitors come and go: every two minutes another crowd, while sessions end after four. What is kept beyond a session is bounded
low, ids of past events for 2,000 visitors, 2,000 sessions to learn from, 8 MB of pages in the gateway, so that each of them is
full within the warm-up: what still grows then is a leak. Every line of the record is written at once; the summary can be made
from it at any time, also after an interruption.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from nemesis.soak_picture import draw
from nemesis.soak_samples import PageAges, sample
from nemesis.soak_slope import Verdict, is_flat, slope
from nemesis.workload import Traffic, publish_items
from stack import control
from stack.addresses import free_address, free_port
from stack.environment import overridden

LIMIT_MB_PER_HOUR = 1.0
_FILES_TOLERANCE = 2.0
_CROWD_SECONDS, _IDLE_SECONDS = 120.0, 240.0
_REMEMBERED = 2_000
_PRICES_SECONDS = 300.0
_SUMMARY_SECONDS = 120.0


@dataclass(frozen=True)
class Soak:
    """What is to be done.

    Attributes:
        hours: of traffic.
        rate: events a second.
        warm_up_seconds: left out of every verdict.
        every_seconds: between two samples.
        visitors: of one crowd.
        seed: of the traffic.
    """

    hours: float
    rate: float
    warm_up_seconds: float = 900.0
    every_seconds: float = 5.0
    visitors: int = 1_000
    seed: int = 1


@contextmanager
def _stack(var: Path) -> Iterator[Settings]:
    """A stack as `vitrine up` starts it, on free ports, without Prometheus, whose memory grows by its own rules."""
    settings = overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address()},
            "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
            "worker": {"metrics_address": free_address()},
            "session": {"idle_seconds": _IDLE_SECONDS, "remembered_visitors": _REMEMBERED},
            "model": {"learn_sessions": _REMEMBERED},
            "gateway": {"port": free_port(), "page_memory_bytes": 8_388_608},
            "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
            "stack": {"var": var, "controller_port": free_port(), "prometheus": False},
        },
    )
    # A heap that is touched at the start does not look like one that grows.
    os.environ["JAVA_TOOL_OPTIONS"] = "-XX:+AlwaysPreTouch"
    control.start(settings, patience_seconds=240, progress=lambda _: None)
    try:
        yield settings
    finally:
        control.stop(settings)


def run(plan: Soak, record: Path, var: Path, tell: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Traffic and samples; the summary.

    Args:
        plan: what to do.
        record: file of the samples, one JSON object a line; the summary and picture lie beside it.
        var: folder of the stack.
        tell: receives a line now and then.

    Raises:
        ConfigurationError: the record exists already.
        VitrineError: the stack did not start.
    """
    if record.exists():
        message = f"--out: {record} is there already, expected a new name; `--summarise` makes its summary without a run"
        raise ConfigurationError(message)
    record.parent.mkdir(parents=True, exist_ok=True)
    with _stack(var) as settings:
        publish_items(settings)
        ages = PageAges(settings.kafka)
        ages.start()
        traffic = Traffic(settings, plan.rate, plan.seed, visitors=plan.visitors)
        with traffic, record.open("w") as lines:
            lines.write(json.dumps({"plan": asdict(plan)}) + "\n")
            _observe(plan, settings, traffic, ages, _Recorder(lines, record, tell))
        ages.stop()
    return write_summary(record)


class _Recorder:
    """Writes each sample at once, and summary and picture every two minutes."""

    def __init__(self, lines: TextIO, record: Path, tell: Callable[[str], object]) -> None:
        self._lines, self._record, self._tell = lines, record, tell
        self._due = _SUMMARY_SECONDS

    def __call__(self, line: dict[str, Any]) -> None:
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        if line["seconds"] < self._due:
            return
        self._due += _SUMMARY_SECONDS
        write_summary(self._record)
        minutes, lag = line["seconds"] / 60, line["lag"]
        self._tell(
            f"{minutes:.0f} min: p50 {line['p50_ms']} ms, p99 {line['p99_ms']} ms, {line['sessions']} sessions, lag {lag}"
        )


def _observe(plan: Soak, settings: Settings, traffic: Traffic, ages: PageAges, write: Callable[[dict[str, Any]], None]) -> None:
    started = time.monotonic()
    prices = crowds = 0
    due = started
    while (now := time.monotonic() - started) < plan.hours * 3600:
        if now // _PRICES_SECONDS >= prices:  # also the catalogue moves: every product again, at another price
            publish_items(settings, price=9.0 + prices % 7)
            prices += 1
        if now // _CROWD_SECONDS >= crowds:
            traffic.crowd = f"{crowds}-"
            crowds += 1
        due += plan.every_seconds
        time.sleep(max(0.0, due - time.monotonic()))
        write({**sample(settings, ages, started), "sent": traffic.sent})


def write_summary(record: Path) -> dict[str, Any]:
    """Summary (`.json`) and picture (`.png`) beside a record, also one that is still being written.

    Raises:
        ConfigurationError: the record cannot be read.
    """
    plan, lines = read_record(record)
    summary = summary_of(plan, lines)
    record.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(summary, lines, record.with_suffix(".png"))
    return summary


def read_record(record: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Plan and samples of a record; a last line that was cut short is left out.

    Raises:
        ConfigurationError: it is no record.
    """
    try:
        first, *rest = record.read_text().splitlines()
        plan = json.loads(first)["plan"]
    except (OSError, ValueError, KeyError) as error:
        message = f"{record}: expected the record of a soak, a plan in its first line: {error}"
        raise ConfigurationError(message) from error
    lines = []
    for line in rest:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return plan, lines


def summary_of(plan: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Slopes and verdicts of everything after the warm-up.

    Memory is judged by its anonymous part; resident memory with the pages of mapped files is told beside it. Open files are
    judged without the segments of Kafka's log, which are as many as retention says.
    """
    warm = [line for line in lines if line["seconds"] >= plan["warm_up_seconds"]]
    names = sorted({name for line in warm for name in line["processes"]})
    processes = {name: _process(name, warm) for name in names}
    shared = [float(line["shared_memory_bytes"]) for line in warm]
    restarts = {name: count for name, count in (lines[-1]["restarts"] if lines else {}).items() if count}
    verdicts = {
        "memory": _worst([one["verdict"] for one in processes.values()]),
        "files": _flat(all(one["files_flat"] for one in processes.values()), warm),
        "threads": _flat(all(one["threads_flat"] for one in processes.values()), warm),
        "shared_memory": _flat(is_flat(shared) if shared else False, warm),
        "restarts": "fails" if restarts else "holds",
    }
    return {
        "plan": plan,
        "hours": round(lines[-1]["seconds"] / 3600, 3) if lines else 0.0,
        "samples": len(warm),
        "events": lines[-1]["sent"] if lines else 0,
        "pages": sum(line["pages"] for line in lines),
        "degraded": sum(line["degraded"] for line in lines),
        "limit_mb_per_hour": LIMIT_MB_PER_HOUR,
        "p50_ms": _middle(warm, "p50_ms"),
        "p99_ms": _middle(warm, "p99_ms"),
        "p99_ms_max": max((line["p99_ms"] for line in warm), default=0.0),
        "lag_max": max((line["lag"] or 0 for line in warm), default=0),
        "shared_memory_bytes": sorted(set(shared)),
        "restarts": restarts,
        "processes": processes,
        "verdicts": verdicts,
    }


def _process(name: str, warm: list[dict[str, Any]]) -> dict[str, Any]:
    held = [(line["seconds"] / 3600, line["processes"][name]) for line in warm if name in line["processes"]]
    hours = [at for at, _ in held]
    memory = {kind: slope(hours, [one[kind] for _, one in held]) for kind in ("anonymous_mb", "rss_mb", "pss_mb")}
    judged = memory["anonymous_mb"]
    return {
        **{kind: one.summary() if one else None for kind, one in memory.items()},
        "verdict": judged.verdict(LIMIT_MB_PER_HOUR) if judged else "undecided",
        "files": [held[0][1]["files"], held[-1][1]["files"]],
        "files_flat": is_flat([one["files"] - one["segments"] for _, one in held], _FILES_TOLERANCE),
        "threads": [held[0][1]["threads"], held[-1][1]["threads"]],
        "threads_flat": is_flat([one["threads"] for _, one in held], _FILES_TOLERANCE),
    }


def _worst(verdicts: list[Verdict]) -> Verdict:
    if "fails" in verdicts:
        return "fails"
    return "undecided" if "undecided" in verdicts or not verdicts else "holds"


def _flat(flat: bool, warm: list[dict[str, Any]]) -> Verdict:
    if not warm:
        return "undecided"
    return "holds" if flat else "fails"


def _middle(lines: list[dict[str, Any]], name: str) -> float:
    values = sorted(line[name] for line in lines)
    return float(values[len(values) // 2]) if values else 0.0


def in_words(summary: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"{summary['hours']} h, {summary['events']} events, {summary['pages']} pages ({summary['degraded']} flagged degraded); "
        f"after warm-up p50 {summary['p50_ms']} ms, p99 {summary['p99_ms']} ms (worst {summary['p99_ms_max']} ms)"
    ]
    for name, one in summary["processes"].items():
        grown = one["anonymous_mb"]
        if grown is not None:
            told = f"{grown['per_hour']:+.2f} MB/h ({grown['low']:+.2f} to {grown['high']:+.2f}), {grown['last']:.0f} MB"
            lines.append(f"{name}: {told}, files {one['files'][0]} -> {one['files'][1]}: {one['verdict']}")
    return "\n".join([*lines, ", ".join(f"{name}: {verdict}" for name, verdict in summary["verdicts"].items())])

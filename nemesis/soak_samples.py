"""What a running stack holds at a moment: memory, files and threads of each process, shared memory, age of the pages."""

from __future__ import annotations

import re
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from kafka import KafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings, Settings
from contracts.topics import PAGES
from stack.status import Status, read_status, status_file
from stack.triton import SHARED_MEMORY, TritonServer

_MB = 1_000_000
_SEGMENT = re.compile(r"/\d{20}\.log$")


class _Latency(msgspec.Struct):
    event_to_emit: float


class _Aged(msgspec.Struct):
    degraded: bool
    latency_ms: _Latency


class PageAges(threading.Thread):
    """Follows the page topic and keeps the milliseconds from event to page until they are asked for.

    Args:
        settings: the cluster.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(name="page-ages", daemon=True)
        self._settings = settings
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ages: list[float] = []
        self._degraded = 0

    def run(self) -> None:
        """Follow from the end until stopped."""
        consumer = KafkaConsumer(**kafka_python_options(self._settings), group_id=None, enable_auto_commit=False)
        topic = self._settings.topic_prefix + PAGES
        places = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        consumer.assign(places)
        consumer.seek_to_end(*places)
        decoder = msgspec.json.Decoder(_Aged)
        while not self._over.is_set():
            fetched = consumer.poll(timeout_ms=200)
            pages = [decoder.decode(record.value) for records in fetched.values() for record in records if record.value]
            with self._lock:
                self._ages += [page.latency_ms.event_to_emit for page in pages]
                self._degraded += sum(page.degraded for page in pages)
        consumer.close()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()

    def take(self) -> dict[str, Any]:
        """Figures of the pages since the last call."""
        with self._lock:
            ages, degraded = sorted(self._ages), self._degraded
            self._ages, self._degraded = [], 0
        cuts = statistics.quantiles(ages, n=100) if len(ages) > 1 else [0.0] * 99
        return {"pages": len(ages), "degraded": degraded, "p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}


def sample(settings: Settings, ages: PageAges, started: float) -> dict[str, Any]:
    """One line of the record.

    Args:
        settings: of the running stack.
        ages: of the pages.
        started: monotonic time of the beginning.
    """
    status = read_status(status_file(settings.stack))
    worker = _worker_figures(status.addresses.get("worker-0", ""))
    return {
        "seconds": round(time.monotonic() - started, 2),
        "processes": {name: found for name, pid in _pids(status).items() if (found := _held(pid)) is not None},
        "restarts": {process.name: process.restarts for process in status.processes},
        "unhealthy": [process.name for process in status.processes if not process.healthy],
        "shared_memory_bytes": _shared_memory(TritonServer(settings).region),
        **ages.take(),
        **worker,
    }


def _pids(status: Status) -> dict[str, int]:
    """Process id by name: what the supervisor runs, itself, and Triton's Python stubs."""
    pids = {process.name: process.pid for process in status.processes if process.pid is not None}
    if status.supervisor_pid is not None:
        pids["supervisor"] = status.supervisor_pid
    if "triton" in pids:
        try:
            for child in psutil.Process(pids["triton"]).children(recursive=True):
                model = next((part.split("/")[-3] for part in child.cmdline() if part.endswith("/model.py")), None)
                if model is not None:
                    pids[f"stub {model}"] = child.pid
        except psutil.NoSuchProcess:
            return pids
    return pids


def _held(pid: int) -> dict[str, Any] | None:
    """Memory in MB, files, threads.

    `anonymous` is what no file stands behind, so that the kernel cannot take it back; `segments` are the files of Kafka's log,
    which the broker keeps open until they are deleted, so that their number follows retention.
    """
    try:
        process = psutil.Process(pid)
        full = process.memory_full_info()
        words = Path(f"/proc/{pid}/status").read_text()
        anonymous = next(int(line.split()[1]) for line in words.splitlines() if line.startswith("RssAnon"))
        return {
            "pid": pid,
            "anonymous_mb": round(anonymous * 1024 / _MB, 3),
            "rss_mb": round(full.rss / _MB, 3),
            "pss_mb": round(full.pss / _MB, 3),
            "files": process.num_fds(),
            "segments": sum(bool(_SEGMENT.search(file.path)) for file in process.open_files()),
            "threads": process.num_threads(),
            "cpu_seconds": round(sum(process.cpu_times()[:2]), 2),
        }
    except (psutil.Error, OSError, StopIteration):
        return None


def _shared_memory(region: str) -> int:
    total = 0
    for file in SHARED_MEMORY.glob(f"{region}_*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _worker_figures(address: str) -> dict[str, float | None]:
    """Sessions held and records waiting, by the worker's own metrics; None where it did not answer."""
    try:
        text = httpx.get(f"http://{address}/metrics", timeout=2.0, trust_env=False).text
    except (httpx.HTTPError, httpx.InvalidURL):
        return {"sessions": None, "lag": None}
    sums = {"vitrine_sessions_active": 0.0, "vitrine_consumer_lag_messages": 0.0}
    for family in text_string_to_metric_families(text):
        if family.name in sums:
            sums[family.name] = sum(one.value for one in family.samples)
    return {"sessions": sums["vitrine_sessions_active"], "lag": sums["vitrine_consumer_lag_messages"]}

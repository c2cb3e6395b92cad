"""The systems under test: each a process on topics of its own, all beside one broker and one Triton."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from kafka.admin import KafkaAdminClient

from benchmarks.hand_loop import CHANGELOG
from contracts.kafka_client import kafka_python_options
from contracts.settings import ROOT, Settings
from nemesis.workload import publish_items
from stack.addresses import free_address, free_port
from stack.broker import Broker
from stack.declaration import declare_topics
from stack.environment import child_environment, overridden
from stack.process import Child
from stack.triton import TritonServer, ensure_exported

ITEMS = 1500
SYSTEMS = ("echo", "inprocess", "triton", "product")
TITLES = {
    "echo": "raw Kafka echo, confluent",
    "inprocess": "hand loop, model in process",
    "triton": "hand loop + Triton",
    "product": "Vitrine: Faust + Triton, five rules",
}


@dataclass
class System:
    """One system: its settings, its processes, and when it began to answer."""

    name: str
    settings: Settings
    child: Child
    helpers: list[Child]
    start_seconds: float = 0.0

    def processes(self) -> list[psutil.Process]:
        """Its own process and those that work for it, with their children."""
        found = []
        for child in (self.child, *self.helpers):
            if child.pid is not None and psutil.pid_exists(child.pid):
                process = psutil.Process(child.pid)
                found += [process, *process.children(recursive=True)]
        return found

    def cpu_seconds(self) -> float:
        """Processor time used so far, by all its processes."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def resident_mb(self) -> float:
        """Resident memory of its own process."""
        return psutil.Process(self.child.pid or 0).memory_info().rss / 1e6


@dataclass
class Bench:
    """The broker, Triton, and the systems."""

    broker: Child
    triton: Child
    systems: dict[str, System]
    start_seconds: dict[str, float]


def _settings(base: Settings, name: str) -> Settings:
    own = {
        "kafka": {"topic_prefix": f"{name}."},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address()},
    }
    return overridden(base, own)


@contextmanager
def running(var: Path, names: tuple[str, ...] = SYSTEMS) -> Iterator[Bench]:
    """Start everything on free ports; stop it afterwards. Triton follows the product's item topic."""
    base = overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address()},
            "triton": {"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 5000.0},
            "stack": {"var": var, "controller_port": free_port()},
            "worker": {"data_dir": var / "worker"},
        },
    )
    product = _settings(base, "product")
    ensure_exported(product)
    broker, server = Broker(base), TritonServer(product)
    children: list[Child] = []
    seconds: dict[str, float] = {}
    try:
        broker.prepare()
        children.append(broker.child())
        seconds["broker"] = _timed(lambda: (children[0].start(), broker.wait_until_answering(children[0])))
        all_settings = {name: product if name == "product" else _settings(base, name) for name in names}
        for settings in {**all_settings, "product": product}.values():
            declare_topics(settings.kafka)
            _declare_changelog(settings)
        publish_items(product, ITEMS)
        server.prepare()
        children.append(server.child())
        seconds["triton"] = _timed(lambda: (children[1].start(), server.wait_until_ready(children[1])))
        systems = {name: _start(name, settings, children[1], var) for name, settings in all_settings.items()}
        children += [system.child for system in systems.values()]
        yield Bench(children[0], children[1], systems, seconds)
    finally:
        for child in reversed(children):
            child.stop(8)
        server.remove_shared_memory()


def _timed(action: object) -> float:
    started = time.monotonic()
    action()  # type: ignore[operator]
    return time.monotonic() - started


def _declare_changelog(settings: Settings) -> None:
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka))
    topic = {"num_partitions": settings.kafka.partitions, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}
    admin.create_topics({settings.kafka.topic_prefix + CHANGELOG: topic}, wait_for_metadata=True)
    admin.close()


def _start(name: str, settings: Settings, triton: Child, var: Path) -> System:
    module = ["streams"] if name == "product" else ["benchmarks.hand_loop", name, "product."]
    child = Child(name, [sys.executable, "-m", *module], child_environment(settings), var / "log" / f"{name}.log", ROOT)
    child.start()
    return System(name, settings, child, [triton] if name in ("triton", "product") else [])

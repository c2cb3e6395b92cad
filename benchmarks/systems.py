"""The systems under test: each a process on topics of its own, all beside one broker and one Triton."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
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

    def cpu_seconds(self) -> float:
        """Processor time used so far, by its own process and those that work for it, with their children."""
        return _cpu_seconds([process for child in (self.child, *self.helpers) for process in _processes(child)])


def _processes(child: Child) -> list[psutil.Process]:
    if child.pid is None or not psutil.pid_exists(child.pid):
        return []
    process = psutil.Process(child.pid)
    return [process, *process.children(recursive=True)]


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _resident_mb(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 1e6


@dataclass
class Bench:
    """The broker, Triton, and the systems."""

    broker: Child
    triton: Child
    systems: dict[str, System]
    product: Settings
    start_seconds: dict[str, float]

    def broker_cpu_seconds(self) -> float:
        """Processor time that the broker used so far."""
        return _cpu_seconds(_processes(self.broker))

    def resident_mb(self) -> dict[str, float]:
        """Resident memory by process, megabytes; Triton's models run in processes of their own."""
        found = {
            "broker": _resident_mb(_processes(self.broker)),
            "triton and its models": _resident_mb(_processes(self.triton)),
        }
        found |= {name: _resident_mb(_processes(system.child)) for name, system in self.systems.items()}
        return {name: round(value, 1) for name, value in found.items()}

    def starts(self) -> dict[str, float]:
        """Seconds from the start of a process to its first answer."""
        found = {**self.start_seconds, **{name: system.start_seconds for name, system in self.systems.items()}}
        return {name: round(value, 2) for name, value in found.items()}


def _settings(base: Settings, name: str) -> Settings:
    own = {
        "kafka": {"topic_prefix": f"{name}."},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address()},
    }
    return overridden(base, own)


@contextmanager
def running(var: Path, names: tuple[str, ...] = SYSTEMS) -> Iterator[Bench]:
    """Start broker and Triton on free ports, and stop everything afterwards; the systems are started by who measures them.

    Triton follows the product's item topic.
    """
    base = _base(var)
    product = _settings(base, "product")
    all_settings = {name: product if name == "product" else _settings(base, name) for name in names}
    ensure_exported(product)
    broker, server = Broker(base), TritonServer(product)
    children: list[Child] = []
    try:
        broker.prepare()
        children.append(broker.child())
        broker_seconds = _timed(children[0], broker.wait_until_answering)
        _fill(all_settings, product)
        server.prepare()
        children.append(server.child())
        seconds = {"broker": broker_seconds, "triton": _timed(children[1], server.wait_until_ready)}
        systems = {name: _system(name, settings, children[1], var) for name, settings in all_settings.items()}
        children += [system.child for system in systems.values()]
        yield Bench(children[0], children[1], systems, product, seconds)
    finally:
        for child in reversed(children):
            child.stop(8)
        server.remove_shared_memory()


def _base(var: Path) -> Settings:
    return overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address()},
            # Late answers must be waited for: a fallback page would be a fast one.
            "triton": {"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 5000.0},
            "stack": {"var": var, "controller_port": free_port()},
            "worker": {"data_dir": var / "worker"},
        },
    )


def _timed(child: Child, wait: Callable[[Child], object]) -> float:
    """Start; seconds until it answers."""
    started = time.monotonic()
    child.start()
    wait(child)
    return time.monotonic() - started


def _fill(all_settings: dict[str, Settings], product: Settings) -> None:
    """Topics of every system, and the items where a model reads them."""
    for settings in {**all_settings, "product": product}.values():
        declare_topics(settings.kafka)
        _declare_changelog(settings)
    publish_items(product, ITEMS)
    if "inprocess" in all_settings:
        publish_items(all_settings["inprocess"], ITEMS)


def _declare_changelog(settings: Settings) -> None:
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka))
    topic = {"num_partitions": settings.kafka.partitions, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}
    admin.create_topics({settings.kafka.topic_prefix + CHANGELOG: topic}, wait_for_metadata=True)
    admin.close()


def _system(name: str, settings: Settings, triton: Child, var: Path) -> System:
    module = ["streams"] if name == "product" else ["benchmarks.hand_loop", name, "product."]
    child = Child(name, [sys.executable, "-m", *module], child_environment(settings), var / "log" / f"{name}.log", ROOT)
    return System(name, settings, child, [triton] if name in ("triton", "product") else [])

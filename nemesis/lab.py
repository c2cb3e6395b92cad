"""A whole stack of its own on free ports, under the real supervisor, whose processes may be harmed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from contracts.errors import VitrineError
from contracts.settings import ROOT, Settings
from nemesis.cluster import Cluster
from nemesis.proxy import Proxy
from nemesis.workload import publish_items
from stack.addresses import free_address, free_port
from stack.environment import child_environment, overridden
from stack.status import ProcessStatus, read_status, status_file


class LabError(VitrineError):
    """The lab did not come up, or did not heal."""


class Lab:
    """Kafka and Triton under one supervisor, workers and gateway under another; a proxy between workers and Triton.

    Args:
        workers: events workers.
        var: folder for data and logs; None makes a temporary one.
        nodes: 1 for a broker under the supervisor, 3 for a `nemesis.cluster.Cluster`.
        gateway: also run the gateway.
    """

    def __init__(self, workers: int = 2, var: Path | None = None, nodes: int = 1, *, gateway: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vitrine-nemesis-") if var is None else None
        self.var = var or Path(self._folder.name)  # type: ignore[union-attr]
        self.cluster = Cluster(self.var) if nodes > 1 else None
        servers = free_address() if self.cluster is None else self.cluster.direct
        common: dict[str, dict[str, object]] = {
            "kafka": {"bootstrap_servers": servers, "replication_factor": nodes},
            "gateway": {"port": free_port()},
            # The oracle compares content where versions are equal: a ranker that learned all the while would leave it little.
            "model": {"learn": False},
            "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
            "worker": {"metrics_address": free_address(), "session_timeout_seconds": 4.0},
            "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        }
        only: dict[str, object] = {"catalog_workers": 0, "prometheus": False, "gateway": False, "controller_port": free_port()}
        back: dict[str, object] = {**only, "var": self.var / "back", "workers": 0, "kafka": self.cluster is None}
        self.settings = overridden(Settings(), {**common, "stack": back})
        self.proxy = Proxy(self.settings.triton.grpc_address)
        front: dict[str, object] = {**only, "var": self.var / "front", "workers": workers, "kafka": False, "triton": False}
        through: dict[str, dict[str, object]] = {"triton": {"grpc_address": self.proxy.address}}
        if self.cluster is not None:
            through["kafka"] = {"bootstrap_servers": self.cluster.proxied}
        self._behind = overridden(self.settings, {name: part for name, part in through.items() if name == "kafka"})
        self._front = overridden(self.settings, {**through, "stack": {**front, "gateway": gateway}})
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lab:
        try:
            if self.cluster is not None:
                self.cluster.start()
            self._supervise("back", self._behind)
            publish_items(self.settings)
            self._supervise("front", self._front)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _supervise(self, name: str, settings: Settings) -> None:
        folder = self.var / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "supervisor.log").open("ab") as log:
            command = [sys.executable, "-m", "stack"]
            environment = child_environment(settings)
            self._supervisors.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log))
        self.wait(f"{name} is healthy", lambda: read_status(status_file(settings.stack)).is_healthy, 240)

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            if process.pid is not None and psutil.pid_exists(process.pid):
                psutil.Process(process.pid).resume()
        for supervisor in reversed(self._supervisors):
            supervisor.terminate()
            try:
                supervisor.wait(60)
            except subprocess.TimeoutExpired:
                supervisor.kill()
        self.proxy.close()
        if self.cluster is not None:
            self.cluster.close()
        if self._folder is not None:
            self._folder.cleanup()

    def processes(self) -> list[ProcessStatus]:
        """What the supervisors say."""
        both = (self.settings.stack, self._front.stack)
        return [process for stack in both for process in read_status(status_file(stack)).processes]

    def pid(self, name: str) -> int | None:
        """Process id by the supervisor's word."""
        return next((process.pid for process in self.processes() if process.name == name), None)

    def is_healthy(self, name: str) -> bool:
        """Whether the supervisor calls the process healthy."""
        return next((process.healthy for process in self.processes() if process.name == name), False)

    def stub_pid(self, model: str = "page_ranker") -> int | None:
        """Process id of Triton's Python stub for a model."""
        triton = self.pid("triton")
        if triton is None:
            return None
        for child in psutil.Process(triton).children(recursive=True):
            if any(f"/{model}/" in argument for argument in child.cmdline()):
                return int(child.pid)
        return None

    def wait(self, what: str, is_so: Callable[[], bool], patience_seconds: float) -> float:
        """Poll until `is_so`; seconds it took.

        Raises:
            LabError: after `patience_seconds`, with the end of the supervisors' logs.
        """
        started = time.monotonic()
        while not is_so():
            if time.monotonic() - started > patience_seconds:
                tail = "".join(log.read_text(errors="replace")[-1500:] for log in self.var.glob("*/supervisor.log"))
                message = f"not so after {patience_seconds} s: {what}; the end of the supervisors' logs:\n{tail}"
                raise LabError(message)
            time.sleep(0.1)
        return time.monotonic() - started

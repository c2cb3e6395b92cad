"""Real services for the tests: one broker and one Triton a session, on free ports, in a folder of their own.

`settings` has a topic prefix of its own, so tests do not meet. The session's Triton follows the item embeddings of one
prefix, `shared_settings`: a test whose catalogue must be its own publishes there under a tenant of its own, or starts
another Triton with `start_triton`.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from rich.console import Console

from cli.demo_shop import ensure_demo_shop
from contracts.settings import ROOT, Settings
from stack import control
from stack.addresses import free_address, free_port
from stack.broker import Broker
from stack.declaration import declare_topics
from stack.environment import child_environment, overridden
from stack.process import Child
from stack.triton import TritonServer, ensure_exported

PARTITIONS = 4
_numbers = itertools.count(1)


class SettingsFactory(Protocol):
    """Settings with a topic prefix of their own and the topics declared; keywords change fields by group."""

    def __call__(self, **groups: dict[str, Any]) -> Settings: ...


class ProcessFactory(Protocol):
    """Starts a process and waits until it is healthy; what is left of it ends with the test."""

    def __call__(self, settings: Settings) -> Child: ...


@pytest.fixture(scope="session")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for data, logs and run files of the session's services."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="session")
def session_settings(var: Path) -> Settings:
    """Addresses of the session's broker and Triton; nothing runs there until `broker` and `triton` are asked for."""
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address(), "partitions": PARTITIONS, "topic_prefix": "shared."},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address()},
        "stack": {"var": var, "controller_port": free_port()},
    }
    return overridden(Settings(), groups)


@pytest.fixture(scope="session")
def broker(session_settings: Settings) -> Iterator[str]:
    """Bootstrap servers of a real Kafka."""
    server = Broker(session_settings)
    server.prepare()
    child = server.child()
    child.start()
    try:
        server.wait_until_answering(child)
        declare_topics(session_settings.kafka)
        yield session_settings.kafka.bootstrap_servers
    finally:
        child.stop(10)


@pytest.fixture(scope="session")
def triton(session_settings: Settings, broker: str) -> Iterator[str]:
    """Address (gRPC) of a real Triton that follows the item embeddings of `shared_settings`."""
    assert broker == session_settings.kafka.bootstrap_servers
    server = TritonServer(session_settings)
    child = _started_triton(server, session_settings)
    try:
        yield session_settings.triton.grpc_address
    finally:
        child.stop(10)
        server.remove_shared_memory()


@pytest.fixture
def shared_settings(session_settings: Settings, triton: str) -> Settings:
    """Settings with the prefix that the session's Triton follows; use a tenant of your own."""
    assert triton == session_settings.triton.grpc_address
    return session_settings


@pytest.fixture
def make_settings(session_settings: Settings, broker: str, tmp_path: Path) -> SettingsFactory:
    """Factory of settings with a prefix of their own, for tests that need several workers or special values."""
    assert broker == session_settings.kafka.bootstrap_servers

    def make(**groups: dict[str, Any]) -> Settings:
        number = next(_numbers)
        own: dict[str, dict[str, Any]] = {
            "kafka": {"topic_prefix": f"t{number}."},
            "worker": {"metrics_address": free_address(), "data_dir": tmp_path / f"worker-{number}"},
            "gateway": {"port": free_port()},
            "monitoring": {"prometheus_address": free_address(), "model_metrics_address": free_address()},
        }
        merged = {name: {**own.get(name, {}), **groups.get(name, {})} for name in {*own, *groups}}
        made = overridden(session_settings, merged)
        declare_topics(made.kafka)
        return made

    return make


@pytest.fixture
def settings(make_settings: SettingsFactory) -> Settings:
    """Settings of this test alone: its own topic prefix, declared topics, free ports."""
    return make_settings()


@pytest.fixture(scope="session")
def demo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a whole running stack as `vitrine up` starts it, with the demo shop's products in it.

    For tests that act as a user does: browser, command line, dashboards. Its topics have no prefix; visitors are yours
    to name. Do not stop parts of it.
    """
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address()},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        "gateway": {"port": free_port()},
        "stack": {"var": tmp_path_factory.mktemp("demo"), "controller_port": free_port()},
    }
    made = overridden(Settings(), groups)
    control.start(made, patience_seconds=180, progress=lambda _: None)
    try:
        ensure_demo_shop(made, Console(quiet=True))
        yield made
    finally:
        control.stop(made)


@pytest.fixture
def start_triton(broker: str) -> Iterator[ProcessFactory]:
    """Starts another Triton at the addresses of the given settings, following the prefix of those settings."""
    assert broker
    started: list[tuple[TritonServer, Child]] = []

    def start(settings: Settings) -> Child:
        server = TritonServer(settings)
        return _started_triton(server, settings, started)

    yield start
    for server, child in started:
        child.kill()
        server.remove_shared_memory()


@pytest.fixture
def worker_process(tmp_path: Path) -> Iterator[ProcessFactory]:
    """Starts `python -m streams` (its role by settings) and waits for /healthz; kill it with `Child.kill`."""
    yield from _processes("streams", lambda settings: settings.worker.metrics_address, tmp_path)


@pytest.fixture
def gateway_process(tmp_path: Path) -> Iterator[ProcessFactory]:
    """Starts `python -m gateway` and waits for /healthz."""
    yield from _processes("gateway", lambda settings: f"{settings.gateway.host}:{settings.gateway.port}", tmp_path)


def _started_triton(server: TritonServer, settings: Settings, started: list[tuple[TritonServer, Child]] | None = None) -> Child:
    ensure_exported(settings)
    server.prepare()
    child = server.child()
    child.start()
    if started is not None:
        started.append((server, child))
    try:
        server.wait_until_ready(child)
    except BaseException:
        child.kill()
        server.remove_shared_memory()
        raise
    return child


def _processes(module: str, address: Callable[[Settings], str], folder: Path) -> Iterator[ProcessFactory]:
    started: list[Child] = []

    def start(settings: Settings) -> Child:
        name = f"{module}-{next(_numbers)}"
        child = Child(name, [sys.executable, "-m", module], child_environment(settings), folder / f"{name}.log", ROOT)
        child.start()
        started.append(child)
        wait_until_healthy(child, address(settings))
        return child

    yield start
    for child in started:
        child.kill()


def wait_until_healthy(child: Child, address: str, patience_seconds: float = 60.0) -> dict[str, Any]:
    """Poll http://address/healthz until it answers 200; its JSON."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/healthz", timeout=1) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except (urllib.error.URLError, OSError, ValueError) as error:
            if not child.is_alive or time.monotonic() > deadline:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                pytest.fail(f"{child.name} did not get healthy: {error} {said}; the end of its log:\n{child.log_tail(40)}")
        time.sleep(0.05)


def pytest_configure() -> None:
    """Tests must not read the settings of whoever runs them, nor fail by a slow machine or inputs drawn anew each time.

    Run `pytest --hypothesis-profile=search` to look for new inputs.
    """
    hypothesis.settings.register_profile(
        "same", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("search", deadline=None)
    for name in [name for name in os.environ if name.startswith("VITRINE_")]:
        del os.environ[name]

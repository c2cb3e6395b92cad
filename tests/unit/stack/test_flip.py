"""What the operator's steps make of the workers' metrics."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from monitoring.metrics import WorkerMetrics
from monitoring.rollout_metrics import RolloutMetrics
from monitoring.server import Health, serve
from stack import control
from stack.environment import overridden
from stack.flip import Operator
from stack.rollout import started, warmed
from stack.status import ProcessStatus, Status
from tests.fakes import DEMO_VERSION

NEW = DEMO_VERSION + 1


class Worker:
    """A worker's metrics behind a real address."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.rollout, self.worker = RolloutMetrics.create(registry), WorkerMetrics.create(registry)
        self.server = serve("127.0.0.1:0", registry, lambda: Health(healthy=True, detail="ok"), setting="X")
        self.address = f"127.0.0.1:{self.server.server_port}"

    def pages(self, full: int, fallbacks: int) -> None:
        self.worker.pages.labels("home", "false").inc(full)
        self.worker.pages.labels("cart", "false").inc(full)
        self.worker.pages.labels("home", "true").inc(fallbacks)

    def compared(self, overlaps: list[float], live: float, shadow: float) -> None:
        for value in overlaps:
            self.rollout.overlap.observe(value)
            self.rollout.shadow_rows.labels("compared").inc()
        self.rollout.score_mean.labels("live").set(live)
        self.rollout.score_mean.labels("shadow").set(shadow)


@pytest.fixture
def workers() -> Any:
    made = [Worker(), Worker()]
    yield made
    for worker in made:
        worker.server.shutdown()
        worker.server.server_close()


@pytest.fixture
def operator(tmp_path: Path, workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> Operator:
    addresses = {f"worker-{number}": worker.address for number, worker in enumerate(workers)}
    processes = tuple(ProcessStatus(name, 1, True, 0) for name in ("triton", "triton-2"))
    now = Status(up=True, processes=processes, addresses={**addresses, "triton": "127.0.0.1:1"})
    monkeypatch.setattr(control, "status", lambda _: now)
    return Operator(overridden(Settings(), {"stack": {"var": tmp_path}}))


def test_figures_add_up_over_the_workers_and_leave_out_what_was_before(operator: Operator, workers: list[Worker]) -> None:
    workers[0].compared([0.1] * 50, 0.9, 0.9)  # of an earlier shadow
    before = operator.counted()
    workers[0].compared([0.5, 0.7], 0.10, 0.20)
    workers[1].compared([0.9, 0.9], 0.30, 0.40)
    workers[1].rollout.stability.set(0.3)
    found = operator.figures(before)
    assert found.rows == {"compared": 4, "failed": 0, "wrong_version": 0, "dropped": 0}
    assert found.overlap == pytest.approx(0.75)
    assert found.correlation is None
    assert [found.live_score, found.shadow_score] == pytest.approx([0.2, 0.3])
    assert found.stability == pytest.approx(0.3)


def test_fallbacks_are_a_reason_to_take_a_version_back_and_full_pages_are_none(
    operator: Operator, workers: list[Worker]
) -> None:
    workers[0].pages(0, 500)  # before the watch: another fault, another time
    assert operator.watch(0.6, lambda: workers[1].pages(200, 1)) is None
    told = operator.watch(30, lambda: workers[1].pages(100, 3))
    assert told is not None
    assert told.endswith("pages since then were fallbacks")
    begun = time.monotonic()
    operator.watch(30, lambda: workers[0].pages(0, 50))
    assert time.monotonic() - begun < 5


def test_a_change_that_a_worker_does_not_carry_out_names_the_worker(
    operator: Operator, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.flip.CHANGE_SECONDS", 0.3)
    operator.file.change(lambda rollout: warmed(started(rollout, NEW), NEW))
    workers[0].rollout.route_serial.set(2)
    with pytest.raises(control.StackFailed, match=r"^worker-1 did not change"):
        operator.shadow(NEW, 0.5)
    for worker in workers:
        worker.rollout.route_serial.set(3)
    assert operator.shadow(NEW, 0.0) < 5


def test_a_version_with_another_item_tower_is_refused_with_what_to_do(operator: Operator) -> None:
    folder = operator.releases / str(NEW)
    folder.mkdir(parents=True)
    release = {"version": NEW, "content": "c", "items_version": "other", "published_time": 0, "files": {}}
    (folder / "release.json").write_text(json.dumps(release))
    with pytest.raises(ConfigurationError, match=r"another item tower .* VITRINE_MODEL__PATH"):
        operator.check(NEW)
    with pytest.raises(ConfigurationError, match=rf"version {NEW + 1} is not published .* expected one of: {NEW}"):
        operator.check(NEW + 1)

"""A new model version beside the old one, flipped and taken back under load: no event lost, no state mixed, no page back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from contracts.releases import releases_folder
from contracts.settings import ROOT, Settings, resolve
from contracts.topics import EVENTS, PAGES
from nemesis.checker import Expected, check, content, oracle
from nemesis.topic import Stored, lag, read_topic
from nemesis.workload import Traffic, publish_items
from stack import control
from stack.environment import child_environment, overridden
from stack.flip import Operator
from stack.triton import ensure_exported
from stack.warmup import FEWEST, recorded
from streams.sessions import decode_state
from tests.fakes import DEMO_VERSION
from tests.stack.test_supervisor import free_settings, process, until, vitrine
from tests.unit.triton_models.test_registry import changed
from triton_models.registry import publish

pytestmark = pytest.mark.stack
OLD, NEW = DEMO_VERSION, DEMO_VERSION + 1


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running stack of two workers with a small catalogue, and a version published: other session encoder and ranker."""
    var = tmp_path_factory.mktemp("rollout")
    patient = {"ranker_deadline_ms": 20_000.0}  # fallback pages are tested elsewhere
    settings = overridden(free_settings(var, workers=2), {"triton": patient, "model": {"learn": False}})
    artefact = changed(tmp_path_factory.mktemp("artefact"), "session", 1.2)
    root = releases_folder(settings)
    assert publish(artefact, root, based_on=ensure_exported(settings)) == NEW
    control.start(settings, patience_seconds=180, progress=lambda _: None)
    try:
        publish_items(settings)
        yield settings
    finally:
        control.stop(settings)


def models(settings: Settings, *arguments: str) -> str:
    answered = vitrine(settings, "models", *arguments)
    assert answered.returncode == 0, answered.stdout + answered.stderr
    return answered.stdout


def expected_by(settings: Settings, address: str, events: list[Stored]) -> Expected:
    """The oracle of the version that answers at an address."""
    return asyncio.run(oracle(overridden(settings, {"triton": {"grpc_address": address}}), events))


def version_of(page: Stored) -> int:
    return int(msgspec.json.decode(page.value or b"")["model"]["version"])


@pytest.mark.timeout(600)  # on a busy machine the new version, which gives way to all others, loads for minutes
def test_flip_and_rollback_under_load_lose_nothing_and_mix_nothing(shop: Settings) -> None:
    var = resolve(shop.stack.var)
    with Traffic(shop, rate=12, seed=4, visitors=60) as traffic:
        until(lambda: sum(map(len, recorded(var))) >= FEWEST, 60)
        refused = vitrine(shop, "models", "flip", str(NEW))
        assert refused.returncode == 2
        assert "does not run" in refused.stderr
        printed = models(shop, "shadow", str(NEW), "--share", "0.5", "--seconds", "4")
        assert "recorded requests" in printed
        traffic.rate = 50
        flip = ("flip", str(NEW), "--watch", "0")
        for step in (flip, ("rollback",), flip):
            models(shop, *step)
            time.sleep(2.0)  # some pages of each
    until(lambda: lag(shop.kafka, shop.worker.group, EVENTS) == 0, 60)

    events, pages = read_topic(shop.kafka, EVENTS), read_topic(shop.kafka, PAGES)
    mixed = expected_of(shop, events, pages)
    report = check(shop, events, pages, mixed)
    assert report.violations == []
    assert report.events == traffic.sent
    assert report.degraded_pages == 0

    orders = orders_of(pages)
    steps = (OLD, NEW, OLD, NEW)
    assert all(order in {steps[a:b] for a in range(4) for b in range(a + 1, 5)} for order in orders)
    assert max(map(len, orders)) >= 2
    assert shadow_differs(printed)


def expected_of(settings: Settings, events: list[Stored], pages: list[Stored]) -> Expected:
    """Of every page and session what the oracle of *its* version has there."""
    operator = Operator(settings)
    by_version = {version: expected_by(settings, operator.address_of(version), events) for version in (OLD, NEW)}
    mixed = replace(by_version[NEW], pages=dict(by_version[NEW].pages), states=dict(by_version[NEW].states))
    for page in pages:
        source = content(page.value or b"")["source"]
        place = (page.key, source["partition"], source["offset"])
        mixed.pages[place] = by_version[version_of(page)].pages[place]
    for record in read_topic(settings.kafka, f"{settings.worker.group}-sessions-changelog"):
        if record.value is not None:
            mixed.states[record.key] = by_version[decode_state(record.value).encoder_version].states[record.key]
    return mixed


def orders_of(pages: list[Stored]) -> set[tuple[int, ...]]:
    """In which order the visitors met the versions, each run of one version told once."""
    runs: dict[bytes, list[int]] = {}
    for page in sorted(pages, key=lambda page: (page.partition, page.offset)):
        runs.setdefault(page.key, []).append(version_of(page))
    return {tuple(version for version, _ in groupby(run)) for run in runs.values()}


def shadow_differs(printed: str) -> bool:
    """Whether the printed figures compare two different models."""
    figures = dict(line.rsplit(maxsplit=1) for line in printed.splitlines() if line.startswith(("overlap", "requests comp")))
    return int(figures["requests compared"]) > 0 and 0 < float(figures["overlap@20"]) < 1


def test_a_version_that_dies_after_the_flip_is_taken_back_by_itself(shop: Settings) -> None:
    models(shop, "rollback")
    with Traffic(shop, rate=30, seed=6, visitors=20, poison=0.0) as traffic:
        traffic.crowd, traffic.first = "watching", 500_000
        command = [sys.executable, "-m", "cli", "models", "flip", str(NEW), "--watch", "20"]
        flip = subprocess.Popen(command, env=child_environment(shop), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        until(lambda: Operator(shop).rollout().live_version == NEW, 60)
        time.sleep(1.5)  # until it watches
        os.killpg(process(shop, Operator(shop).rollout().live).pid, signal.SIGKILL)
        _, told = flip.communicate(timeout=60)
    assert flip.returncode == 1
    assert "rolled back" in told
    assert "fallbacks" in told
    assert Operator(shop).rollout().live_version == OLD
    until(lambda: control.status(shop).is_healthy, 60)
    models(shop, "flip", str(NEW), "--watch", "0")


def test_after_the_old_one_ended_and_a_restart_the_new_one_answers(shop: Settings) -> None:
    models(shop, "retire", str(OLD))
    assert [process.name for process in control.status(shop).processes][:1] == ["kafka"]
    assert "triton" not in {process.name for process in control.status(shop).processes}
    control.stop(shop)
    control.start(shop, patience_seconds=180, progress=lambda _: None)
    known = len(read_topic(shop.kafka, PAGES))
    with Traffic(shop, rate=20, seed=5, visitors=10, poison=0.0) as traffic:
        traffic.crowd, traffic.first = "later", 1_000_000
        time.sleep(2.0)
    until(lambda: lag(shop.kafka, shop.worker.group, EVENTS) == 0, 60)
    fresh = [page for page in read_topic(shop.kafka, PAGES) if b"later" in page.key]
    assert known
    assert {version_of(page) for page in fresh} == {NEW}
    refused = vitrine(shop, "models", "rollback")
    assert refused.returncode == 2
    assert "nothing to roll back to" in refused.stderr


def test_a_published_file_that_was_changed_is_not_started(shop: Settings) -> None:
    file: Path = releases_folder(shop) / str(NEW) / "rank.onnx"
    content_before = file.read_bytes()
    file.write_bytes(content_before + b"\0")
    try:
        refused = vitrine(shop, "models", "shadow", str(NEW))
    finally:
        file.write_bytes(content_before)
    assert refused.returncode == 2
    assert "rank.onnx has SHA-256" in refused.stderr

"""A real worker that reads a long changelog back: it says so, and is not healthy before its sessions are all there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer

from contracts.kafka_client import kafka_python_options
from contracts.settings import ROOT, Settings
from contracts.topics import DEAD_LETTERS, EVENTS
from stack.environment import child_environment
from stack.principals import changelog_of
from stack.process import Child
from streams.batch import Incoming, fold
from streams.sessions import encode_state
from tests.conftest import ProcessFactory, SettingsFactory
from tests.fakes import event_bytes
from tests.stack.test_erasure_live import until

pytestmark = pytest.mark.stack
VISITORS, RECORDS = 20, 60_000  # a few seconds of reading
PATIENCE_SECONDS = 120.0


def write_changelog(settings: Settings) -> None:
    """What an hour of a few busy visitors leaves in the segment that is still being written."""
    now = int(time.time() * 1000)
    states: list[tuple[bytes, bytes]] = []
    for number in range(VISITORS):
        key, value = event_bytes(f"v{number}", 1, now)
        folded = fold(
            [Incoming(0, number, key, value, now)],
            lambda _: None,
            settings.session,
            events_topic=EVENTS,
            dead_letter_topic=DEAD_LETTERS,
        )
        states.append((key, encode_state(folded.visits[key].state)))
    producer = KafkaProducer(**kafka_python_options(settings.kafka), linger_ms=20)
    for number in range(RECORDS):
        key, state = states[number % VISITORS]
        producer.send(settings.kafka.topic_prefix + changelog_of(settings), state, key=key, partition=0)
    producer.flush()
    producer.close()


def test_a_worker_says_that_it_reads_back_until_every_session_is_there(
    make_settings: SettingsFactory, triton: str, worker_process: ProcessFactory, tmp_path: Path
) -> None:
    settings = make_settings(kafka={"partitions": 1})
    assert triton == settings.triton.grpc_address
    worker_process(settings).stop(5)  # it declared the changelog
    write_changelog(settings)
    worker = Child("worker", [sys.executable, "-m", "streams"], child_environment(settings), tmp_path / "w.log", ROOT)
    worker.start()
    address, said = f"http://{settings.worker.metrics_address}", []
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{address}/healthz", timeout=5)
            except httpx.HTTPError:
                continue
            said.append(answer.json())
            if answer.status_code == httpx.codes.OK:
                break
            assert said[-1]["busy"], worker.log_tail(40)
            assert httpx.get(f"{address}/livez", timeout=5).status_code == httpx.codes.OK
            time.sleep(0.05)
        assert said[-1]["healthy"], said[-1]
        assert any("records left" in one["detail"] for one in said), "reading 60,000 records takes longer than a look"
        until(
            lambda: f"vitrine_sessions_active {VISITORS}.0" in httpx.get(f"{address}/metrics", timeout=5).text, "all sessions"
        )
        lines = httpx.get(f"{address}/metrics", timeout=5).text.splitlines()
        assert [line for line in lines if line.startswith("vitrine_dropped_batches_total") and not line.endswith(" 0.0")] == []
    finally:
        worker.stop(5)

"""What a real worker still knows when a session is over and the worker was killed: repeated events, and nothing else."""

from __future__ import annotations

import time
import urllib.request

import pytest

from contracts.settings import Settings
from contracts.topics import EVENTS
from nemesis.topic import read_topic
from producers.publisher import EventPublisher
from streams.sessions import decode_state, ids_key
from tests.conftest import ProcessFactory, SettingsFactory, wait_until_healthy
from tests.fakes import event_bytes
from tests.stack.test_erasure_live import until

pytestmark = pytest.mark.stack
KEY = b"default|v"
IDLE_SECONDS = 2.0


def send(settings: Settings, visitor: str, number: int) -> None:
    with EventPublisher(settings.kafka) as publisher:
        key, value = event_bytes(visitor, number, int(time.time() * 1000))
        publisher.send(EVENTS, key, value).wait()


def table(settings: Settings) -> dict[bytes, bytes | None]:
    """The session table by its changelog."""
    changelog = read_topic(settings.kafka, f"{settings.worker.group}-sessions-changelog")
    return {record.key: record.value for record in changelog}


def duplicates(settings: Settings) -> float:
    with urllib.request.urlopen(f"http://{settings.worker.metrics_address}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'outcomes_total{outcome="duplicate"}' in line)


def test_a_session_ends_with_a_tombstone_and_its_events_are_recognised_after_a_kill(
    make_settings: SettingsFactory, triton: str, worker_process: ProcessFactory
) -> None:
    settings = make_settings(session={"idle_seconds": IDLE_SECONDS, "sweep_seconds": 0.5}, kafka={"partitions": 1})
    assert triton == settings.triton.grpc_address
    worker = worker_process(settings)
    send(settings, "v", 1)
    until(lambda: table(settings).get(KEY), "the session is stored")
    time.sleep(IDLE_SECONDS + 0.5)  # the session's own clock is what is tested
    send(settings, "w", 1)  # another visitor's event moves that clock
    until(lambda: KEY in table(settings) and table(settings)[KEY] is None, "a tombstone")
    rest = decode_state(table(settings)[ids_key(KEY)] or b"")
    assert (rest.is_at_rest, rest.pending, rest.recent, rest.cart) == (True, (), (), ())
    worker.kill()
    worker.start()
    wait_until_healthy(worker, settings.worker.metrics_address)
    send(settings, "v", 1)
    until(lambda: duplicates(settings) == 1, "the repeated event is recognised")
    assert table(settings)[KEY] is None

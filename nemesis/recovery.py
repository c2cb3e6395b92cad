"""How long it takes until sessions are back after workers died, and whether they are what they were."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from kafka import KafkaProducer

from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, EVENTS, PAGES
from nemesis.lab import Lab, LabError
from nemesis.topic import keep_newest, lag, read_topic
from nemesis.workload import ITEMS
from streams.batch import Incoming, fold
from streams.sessions import SessionState, decode_state, without_encoder

_SAMPLE = 200


@dataclass(frozen=True)
class Restored:
    """Outcome of one restoration.

    Attributes:
        sessions: visitors with a stored session before the kill.
        first_run_seconds: until all their events had been processed, for scale.
        restored_seconds: from kill -9 of every worker until each had its partitions, their sessions and the catalogue.
        first_pages_seconds: until every visitor of a sample had a page that counts on from the stored session.
        different: sessions that are not what folding the events one by one gives.
        wrong_pages: visitors of the sample whose page does not count on.
    """

    sessions: int
    first_run_seconds: float
    restored_seconds: float
    first_pages_seconds: float
    different: int
    wrong_pages: int

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _publish(settings: Settings, visitors: range, round_number: int) -> None:
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all", linger_ms=20)
    for number in visitors:
        event = {
            "event_id": f"r{round_number}-{number}",
            "event_name": "view_item",
            "event_time": int(time.time() * 1000),
            "visitor_id": f"r{number}",
            "items": [{"item_id": f"i{number % ITEMS}"}],
            "page": {"page_type": "home"},
        }
        topic = settings.kafka.topic_prefix + EVENTS
        producer.send(topic, msgspec.json.encode(event), key=message_key("default", f"r{number}"))
    producer.flush()
    producer.close()


def _folded(settings: Settings) -> dict[bytes, SessionState]:
    """The sessions by folding one event after the other; the encoder's part stays pending."""
    states: dict[bytes, SessionState] = {}
    for record in sorted(read_topic(settings.kafka, EVENTS), key=lambda r: (r.partition, r.offset)):
        incoming = Incoming(record.partition, record.offset, record.key, record.value, record.timestamp, record.headers)
        batch = fold([incoming], states.get, settings.session, events_topic=EVENTS, dead_letter_topic=DEAD_LETTERS)
        states |= {key: visit.state for key, visit in batch.visits.items()}
    return states


def _different(settings: Settings) -> int:
    stored: dict[bytes, bytes | None] = {}
    keep_newest(stored, read_topic(settings.kafka, f"{settings.worker.group}-sessions-changelog"))
    wrong = 0
    for key, state in _folded(settings).items():
        value = stored.get(key)
        wrong += value is None or without_encoder(decode_state(value)) != without_encoder(state)
    return wrong


def restore(lab: Lab, sessions: int, tell: Callable[[str], object] = lambda _: None) -> Restored:
    """Give every visitor a session, kill all workers at once, and see the sessions come back under the supervisor.

    Raises:
        LabError: nothing came back in time.
    """
    settings = lab.settings
    began = time.monotonic()
    _publish(settings, range(sessions), 1)
    lab.wait("all are processed", lambda: lag(settings.kafka, settings.worker.group, EVENTS) == 0, 600)
    first_run = time.monotonic() - began
    tell(f"{sessions} sessions after {first_run:.1f} s")
    workers = [process for process in lab.processes() if process.name.startswith("worker-")]
    before = {process.name: process.pid for process in workers}
    killed = time.monotonic()
    for process in workers:
        if process.pid is None:
            message = f"{process.name} does not run"
            raise LabError(message)
        os.kill(process.pid, signal.SIGKILL)
    lab.wait("others run", lambda: all(lab.pid(name) not in (pid, None) for name, pid in before.items()), 60)
    lab.wait("they are healthy", lambda: all(lab.is_healthy(name) for name in before), 120)
    restored = time.monotonic() - killed
    tell(f"restored after {restored:.1f} s")
    seen: dict[int, int] = {}
    read_topic(settings.kafka, PAGES, seen)
    sample = range(0, sessions, max(1, sessions // _SAMPLE))
    _publish(settings, sample, 2)
    counted: dict[bytes, int] = {}

    def has_all() -> bool:
        fresh = [
            msgspec.json.decode(page.value) | {"key": page.key}
            for page in read_topic(settings.kafka, PAGES, seen)
            if page.value
        ]
        counted.update({page["key"]: page["sequence"] for page in fresh if page["trigger_event_id"].startswith("r2-")})
        return len(counted) >= len(sample)

    lab.wait("the sample has pages", has_all, 60)
    first_pages = time.monotonic() - killed
    lab.wait("all is committed", lambda: lag(settings.kafka, settings.worker.group, EVENTS) == 0, 60)
    wrong_pages = sum(sequence != 2 for sequence in counted.values())
    return Restored(sessions, first_run, restored, first_pages, _different(settings), wrong_pages)

"""Open-loop load: events at scheduled times, and for each the milliseconds until its page was there.

The schedule does not wait for answers, so a stall shows in every event that it held up (no coordinated omission). Both
clocks are this process's monotonic one. An event counts as answered by the first page whose source offset is at or above
its own; in the raw echo, by its own echo.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from contracts.keys import message_key
from contracts.settings import KafkaSettings
from contracts.topics import EVENTS, PAGES

VISITORS = 400


class _Answer(msgspec.Struct, frozen=True):
    """What the driver reads of a page, or of an event that was echoed."""

    trigger_event_id: str = ""
    event_id: str = ""


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass
class Measured:
    """Latencies (ms) of one load, and what was not answered in time."""

    rate: float
    seconds: float
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    """When each of them was due, seconds of the monotonic clock."""
    unanswered: int = 0
    pages: int = 0
    sending_late_ms: float = 0.0
    """How far the sender fell behind its schedule at most: above a few ms the load was not what it says."""

    def summary(self) -> dict[str, float]:
        """Percentiles in ms and counts."""
        found = {"rate": self.rate, "sent": self.sent, "pages": self.pages, "unanswered": self.unanswered}
        found["sending_late_ms"] = round(self.sending_late_ms, 2)
        if len(self.latencies) >= 2:
            cuts = statistics.quantiles(self.latencies, n=1000, method="inclusive")
            found |= {"p50": cuts[499], "p95": cuts[949], "p99": cuts[989], "p999": cuts[998], "max": max(self.latencies)}
        return {name: round(value, 3) for name, value in found.items()}


class Driver:
    """One producer and one consumer for the topics of one prefix.

    Args:
        settings: the cluster; the prefix names the system under test.
        items: ids that visitors click.
        seed: of the choices.
    """

    def __init__(self, settings: KafkaSettings, items: list[str], seed: int = 5) -> None:
        self._topic = settings.topic_prefix + EVENTS
        self._items = items
        self._rng = random.Random(seed)
        self._run = self._rng.randrange(1 << 40)
        common = {"bootstrap.servers": settings.bootstrap_servers, "log_level": 0}
        # librdkafka's own default partitioner would send a visitor elsewhere than every other client does.
        self._producer = Producer({**common, "linger.ms": 0, "acks": "all", "partitioner": "murmur2_random"})
        self._consumer = Consumer(
            {**common, "group.id": f"bench-{self._run}", "fetch.wait.max.ms": 100, "enable.auto.commit": False}
        )
        pages = settings.topic_prefix + PAGES
        partitions = [TopicPartition(pages, number) for number in range(settings.partitions)]
        ends = [self._consumer.get_watermark_offsets(partition)[1] for partition in partitions]
        self._consumer.assign([TopicPartition(p.topic, p.partition, end) for p, end in zip(partitions, ends, strict=True)])
        self._lock = threading.Lock()
        self._waiting: dict[bytes, deque[tuple[str, float]]] = defaultdict(deque)
        self._now = Measured(0, 0)
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._number = 0

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._reader.join()
        self._consumer.close()

    def load(self, rate: float, seconds: float, drain_seconds: float = 3.0) -> Measured:
        """Send `rate` events a second for `seconds`, then wait at most `drain_seconds` for what is not answered."""
        now = Measured(rate, seconds)
        with self._lock:
            self._now = now
            self._waiting.clear()
        started = time.monotonic()
        due = started
        while due - started < seconds:
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            now.sending_late_ms = max(now.sending_late_ms, (time.monotonic() - due) * 1000)
            self._send(due)
            now.sent += 1
            due += 1 / rate
        deadline = time.monotonic() + drain_seconds
        while time.monotonic() < deadline and self._left():
            self._producer.poll(0.01)
        now.unanswered = self._left()
        return now

    def _left(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def _send(self, due: float) -> None:
        visitor = f"b{self._rng.randrange(VISITORS)}"
        event_id = f"{self._run}-{self._number}"
        self._number += 1
        event = {
            "event_id": event_id,
            "event_name": "view_item",
            "event_time": time.time_ns() // 1_000_000,
            "visitor_id": visitor,
            "page": {"page_type": "home"},
            "items": [{"item_id": self._rng.choice(self._items)}],
        }
        key = message_key("default", visitor)
        with self._lock:
            self._waiting[key].append((event_id, due))
        self._producer.produce(self._topic, msgspec.json.encode(event), key=key)
        self._producer.poll(0)

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            arrived = time.monotonic()
            key, value = (message.key(), message.value()) if message is not None and message.error() is None else (None, None)
            if key is not None and value is not None:
                self._answered(key, value, arrived)

    def _answered(self, key: bytes, value: bytes, arrived: float) -> None:
        answer = _DECODER.decode(value)
        event_id = answer.trigger_event_id or answer.event_id
        with self._lock:
            self._now.pages += 1
            waiting = self._waiting[key]
            if not any(event_id == waited for waited, _ in waiting):
                return  # of an earlier load
            while waiting:
                waited, due = waiting.popleft()
                self._now.latencies.append((arrived - due) * 1000)
                self._now.due.append(due)
                if waited == event_id:
                    break

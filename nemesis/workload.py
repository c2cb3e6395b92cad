"""Seeded traffic: a catalogue of random vectors, and visitors who click, buy, repeat themselves and send poison."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaProducer

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.errors import VitrineError
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import Settings, resolve
from contracts.topics import EVENTS, ITEM_EMBEDDINGS
from nemesis.topic import Stored, digest_of

ITEMS = 300
POISON = (
    b'{"poison"',
    b"",
    b"\xff\xfe\x00",
    b"[" * 5000,
    b'{"event_id": 7, "event_name": null}',
    b'{"event_name": "view_item", "event_time": NaN}',
    b'{"event_id": "' + b"x" * 20_000 + b'"}',
)
_NAMES = ("view_item", "view_item", "view_item", "add_to_cart", "purchase", "dismiss_item")
_PAGES = ("home", "product", "cart")


def publish_items(settings: Settings, count: int = ITEMS, seed: int = 7, price: float = 9.0) -> None:
    """A catalogue of random unit vectors, as the catalogue worker would have published it."""
    rng = np.random.default_rng(seed)
    dim = json.loads((resolve(settings.model.path) / "manifest.json").read_text())["dim"]
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
    for number in range(count):
        vector = rng.standard_normal(dim)
        vector /= np.linalg.norm(vector)
        item = CatalogItem(
            item_id=f"i{number}", title=f"item {number}", categories=(f"D{number % 5} > T{number % 17}",), price=price
        )
        embedding = ItemEmbedding(
            item_id=item.item_id, tenant_id="default", model_version=1, dim=dim, fused=tuple(map(float, vector)), item=item
        )
        topic = settings.kafka.topic_prefix + ITEM_EMBEDDINGS
        producer.send(topic, encode(embedding), key=message_key("default", item.item_id))
    producer.flush()
    producer.close()


class TrafficError(VitrineError):
    """Events could not be sent."""


class Traffic:
    """Publishes events in a thread, open loop, until left.

    Leaving raises `TrafficError` when an event could not be made, or the broker refused one for two minutes.

    Args:
        settings: the cluster.
        rate: events a second; may be changed while it runs.
        seed: of the choices.
        visitors: how many take part.
        poison: share of values that are no events; may be changed while it runs.
        repeats: share of events that are sent twice under one id.
    """

    def __init__(
        self, settings: Settings, rate: float, seed: int, visitors: int = 40, poison: float = 0.025, repeats: float = 0.02
    ) -> None:
        self._topic = settings.kafka.topic_prefix + EVENTS
        self._producer = KafkaProducer(
            **kafka_python_options(settings.kafka), acks="all", delivery_timeout_ms=120_000, max_block_ms=120_000
        )
        self._rng = random.Random(seed)
        self._visitors, self._repeats = visitors, repeats
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.rate = rate
        self.poison = poison
        self.clock_offset_seconds = 0.0
        self.crowd = ""  # put before the number in a visitor's name: another crowd is other visitors
        self.first = 0  # number of the first event: traffic that follows on other traffic must not repeat its ids
        self.sent = 0
        self.poisoned = 0
        self.remembers = False  # set it to have `acknowledged` filled
        self.acknowledged: dict[tuple[int, int], int] = {}
        """Digest of each value that the broker said it has, by (partition, offset)."""
        self._errors: list[BaseException] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush()
        self._producer.close()
        if self._errors and kind is None:
            message = f"{len(self._errors)} events could not be sent, the first: {self._errors[0]!r}"
            raise TrafficError(message) from self._errors[0]

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                self.publish()
                due += 1 / self.rate
        except Exception as error:  # noqa: BLE001 - told when the traffic is left
            self._errors.append(error)

    @property
    def is_running(self) -> bool:
        """Whether events are still being sent."""
        return self._thread.is_alive()

    def missing(self, records: Iterable[Stored]) -> Iterator[Stored]:
        """Pass the records of the events topic on, and take those that were acknowledged off `acknowledged`.

        What is left there afterwards the broker has lost.
        """
        for record in records:
            place = (record.partition, record.offset)
            if self.acknowledged.get(place) == digest_of(record.value):
                del self.acknowledged[place]
            yield record

    def publish(self) -> None:
        """Send one event, or two of the same id, or poison."""
        rng = self._rng
        visitor = f"v{self.crowd}{rng.randrange(self._visitors)}"
        event = {
            "event_id": f"e{self.first + self.sent}",
            "event_name": rng.choice(_NAMES),
            "event_time": int((time.time() + self.clock_offset_seconds) * 1000),
            "visitor_id": visitor,
            "items": [{"item_id": f"i{rng.randrange(ITEMS)}"}],
            "page": {"page_type": rng.choice(_PAGES)},
        }
        is_poison = rng.random() < self.poison
        value = rng.choice(POISON) if is_poison else msgspec.json.encode(event)
        for _ in range(2 if rng.random() < self._repeats else 1):
            self.poisoned += is_poison
            future = self._producer.send(self._topic, value, key=message_key("default", visitor))
            if self.remembers:
                future.add_callback(self._note, digest_of(value))
            future.add_errback(self._errors.append)
            self.sent += 1

    def _note(self, digest: int, place: Any) -> None:
        self.acknowledged[place.partition, place.offset] = digest

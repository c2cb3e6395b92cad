"""Fakes of the worker's ports: a ranker, a broker with a group, a clock. Deterministic; no service needed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from contracts.catalog import CatalogItem, ItemEmbedding, Rating, encode
from contracts.errors import BrokerUnavailable, DependencyError
from contracts.keys import item_key, message_key
from contracts.settings import ROOT
from contracts.tensors import MAX_ANSWERS, Candidate
from streams.batch import Incoming
from streams.items import ItemView
from streams.ports import Answer, Record, Tensors

WIDTH = 4
DEMO_VERSION = int(json.loads((ROOT / "triton_models" / "artefacts" / "demo" / "manifest.json").read_text())["version"])


class ManualClock:
    """A clock that moves when told."""

    def __init__(self, wall_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = wall_ms

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.now_ms

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_ms / 1000

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now_ms += milliseconds


@dataclass
class FakeRanker:
    """Steps a toy encoder (state · 1/2 + key) and ranks the items by distance to it; fails while `error` is set."""

    items: Sequence[int]
    version: int = 1
    error: DependencyError | None = None
    calls: int = 0

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker`."""
        await asyncio.sleep(0)
        self.calls += 1
        if self.error is not None:
            raise self.error
        rows = tensors["state"].shape[0]
        states = np.zeros((rows, WIDTH), np.float32)
        answers = np.zeros((rows, MAX_ANSWERS), np.int64)
        scores = np.zeros((rows, MAX_ANSWERS), np.float32)
        for row in range(rows):
            state = tensors["state"][row].astype(np.float64) if tensors["state"].shape[1] == WIDTH else np.zeros(WIDTH)
            for key in tensors["events"][row]:
                if key:
                    state = (state / 2 + np.array([int(key) % 97, int(key) % 89, 1, self.version])).astype(np.float32)
            states[row] = state
            banned = set(tensors["exclude"][row].tolist())
            order = sorted(
                (key for key in self.items if key not in banned), key=lambda key: abs(key % 97 - float(states[row][0]))
            )
            for place, key in enumerate(order[:MAX_ANSWERS]):
                answers[row, place], scores[row, place] = key, 1 / (2 + place)
        return Answer(
            state=states,
            items=answers,
            scores=scores,
            shares=np.full((rows, MAX_ANSWERS, 3), 1 / 3, np.float32),
            sources=np.full((rows, MAX_ANSWERS), Candidate.ANN_FUSED, np.int32),
            model_version=self.version,
            index_version=len(self.items),
            index_size=len(self.items),
            timing_us=(1.0, 2.0, 3.0),
        )


def catalog_record(item_id: str, category: str = "Shoes > Running", **fields: object) -> tuple[bytes, bytes]:
    """Key and value of an embeddings record."""
    item = CatalogItem(item_id=item_id, title=item_id, categories=(category,), rating=Rating(4.0, 10), **fields)  # type: ignore[arg-type]
    embedding = ItemEmbedding(item_id=item_id, tenant_id="default", model_version=1, dim=1, fused=(1.0,), item=item)
    return message_key("default", item_id), encode(embedding)


def view_of(count: int, categories: Sequence[str] = ("A > 1", "A > 2", "B > 1", "C > 1")) -> ItemView:
    """A view of `count` items `i0`, `i1`, … spread over the categories."""
    view = ItemView()
    for number in range(count):
        view.apply(*catalog_record(f"i{number}", categories[number % len(categories)]))
    return view


def keys_of(count: int) -> list[int]:
    """Item keys of :func:`view_of`."""
    return [item_key("default", f"i{number}") for number in range(count)]


def event_bytes(visitor: str, number: int, time_ms: int, name: str = "view_item", **fields: object) -> tuple[bytes, bytes]:
    """Key and value of an event of `visitor`."""
    event: dict[str, object] = {
        "event_id": f"{visitor}-{number}",
        "event_name": name,
        "event_time": time_ms,
        "visitor_id": visitor,
        "items": [{"item_id": f"i{number % 20}"}],
        "page": {"page_type": "home"},
        **fields,
    }
    return message_key("default", visitor), msgspec.json.encode(event)


class Crashed(Exception):
    """The simulated process was killed here."""


@dataclass
class FakeCluster:
    """A broker that outlives its workers: the events, what was committed, the pages, the changelog.

    `chaos` makes writes take a random number of steps, fail, or kill the worker.
    """

    partitions: int = 2
    events: dict[int, list[Incoming]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    written: list[Record] = field(default_factory=list)
    generation: int = 1
    chaos: random.Random | None = None
    fail_rate: float = 0.0

    def publish(self, key: bytes, value: bytes | None, timestamp: int) -> Incoming:
        """Append an event to the partition of its key."""
        partition = sum(key) % self.partitions
        incoming = Incoming(partition, len(self.events[partition]), key, value, timestamp)
        self.events[partition].append(incoming)
        return incoming

    async def write(self, records: Sequence[Record]) -> None:
        """See `streams.ports.RecordLog`: all or, when it fails, any part of them."""
        for record in records:
            if self.chaos is not None:
                for _ in range(self.chaos.randrange(3)):
                    await asyncio.sleep(0)
                if self.chaos.random() < self.fail_rate:
                    message = "simulated"
                    raise BrokerUnavailable(message)
            self.written.append(record)
        await asyncio.sleep(0)

    def of(self, topic: str) -> list[Record]:
        """What was written to a topic."""
        return [record for record in self.written if record.topic == topic]

    def table(self) -> FakeTable:
        """A table recovered from the changelog."""
        table = FakeTable()
        for record in self.of("changelog"):
            if record.key is not None and record.value is not None:
                table.put(record.key, record.value, record.partition or 0)
            elif record.key is not None:
                table.remove(record.key)
        return table


@dataclass
class FakeTable:
    """`streams.delivery.SessionTable` in a dictionary."""

    values: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        """Stored state."""
        return self.values[key][0] if key in self.values else None

    def put(self, key: bytes, value: bytes, partition: int) -> None:
        """Store."""
        self.values[key] = (value, partition)

    def remove(self, key: bytes) -> None:
        """Forget."""
        self.values.pop(key, None)

    def entries(self) -> list[tuple[bytes, bytes, int]]:
        """Everything."""
        return [(key, value, partition) for key, (value, partition) in self.values.items()]

    def keys(self) -> list[bytes]:
        """Every key."""
        return list(self.values)

    def changelog(self, key: bytes, value: bytes | None, partition: int) -> Record:
        """The record of a change."""
        return Record("changelog", key, value, partition)


class FakeSource:
    """One member's view of a `FakeCluster`: fetches in order, loses its place when told, commits what is contiguous."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.seeks: list[tuple[int, int]] = []
        self._fetched: dict[int, int] = dict(cluster.committed)
        self._acked: dict[int, set[int]] = defaultdict(set)
        self.skip_next: dict[int, int] = {}

    def generation(self) -> int:
        """Generation of the group."""
        return self.cluster.generation

    def is_current(self, incoming: Incoming) -> bool:
        """Whether the record is of this generation."""
        return bool(incoming.token == self.cluster.generation)

    async def committed(self, partition: int) -> int:
        """Committed offset."""
        await asyncio.sleep(0)
        return self.cluster.committed[partition]

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch from there."""
        self.seeks.append((partition, offset))
        self._fetched[partition] = offset

    def acknowledge(self, incoming: Incoming) -> None:
        """Commit what is contiguous, as Faust does."""
        acked = self._acked[incoming.partition]
        acked.add(incoming.offset)
        while self.cluster.committed[incoming.partition] in acked:
            self.cluster.committed[incoming.partition] += 1

    def rebalance(self) -> None:
        """A new generation: everybody fetches from what is committed."""
        self.cluster.generation += 1
        self._fetched = dict(self.cluster.committed)
        self._acked.clear()

    async def next(self, most: int) -> list[Incoming]:
        """The next records of all partitions, at most `most`."""
        while True:
            taken: list[Incoming] = []
            for partition in range(self.cluster.partitions):
                start = self._fetched.get(partition, 0) + self.skip_next.pop(partition, 0)
                records = self.cluster.events[partition][start : start + max(1, most // self.cluster.partitions)]
                self._fetched[partition] = start + len(records)
                taken += [
                    Incoming(r.partition, r.offset, r.key, r.value, r.timestamp, r.headers, self.cluster.generation)
                    for r in records
                ]
            if taken:
                return taken
            await asyncio.sleep(0.001)

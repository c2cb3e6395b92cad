"""The event log as clicks in order: from a file, or from `shop.events.v1` with a consumer group of its own.

Both are read the same way: `poll` gives the next clicks, an empty list while there are none, None at the end; `commit` says
that what was given has been learned or stored, so that a restart goes on behind it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from contracts.errors import BrokerUnavailable, ConfigurationError, ContractError
from contracts.events import Event, decode_event
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from contracts.topics import EVENTS, LEARNER_GROUP
from producers.readers import jsonl
from training.clicks import read_table

LEARNED = frozenset({"view_item", "select_item"})
"""Events whose item was looked at: what the encoder guesses."""
BATCH = 1000
JOIN_SECONDS = 30.0


class Click(NamedTuple):
    """One look at one item; the time is the event's, in milliseconds."""

    time: int
    visitor: str
    item: str


class ClickLog(Protocol):
    """Clicks in the order of their partition or file."""

    def poll(self) -> Sequence[Click] | None:
        """The next clicks; empty if there are none for now, None if there will be no more."""

    def commit(self) -> None:
        """What was polled need not be given again."""


def clicks_of(event: Event) -> Iterator[Click]:
    """Clicks of an event; none of a visitor who does not want a profile (`consent.personalization` false)."""
    if event.event_name in LEARNED and (event.consent is None or event.consent.personalization):
        for item in event.items[:1]:
            yield Click(event.time, f"{event.tenant_id}|{event.visitor_id}", item.item_id)


class FileLog:
    """A table SessionId, ItemId, Time (seconds; sorted by time here), or events as JSON lines in their order.

    Args:
        path: `.tsv`, `.txt`, `.jsonl`, each perhaps with `.gz`.
        tenant: whose events of a `.jsonl` file count; None takes all.

    Raises:
        ConfigurationError: if the file is missing or has another layout.
    """

    def __init__(self, path: Path, tenant: str | None = None) -> None:
        self._clicks = iter(_of_events(path, tenant) if ".jsonl" in path.suffixes else _of_table(path))

    def poll(self) -> Sequence[Click] | None:
        """The next thousand clicks, None at the end."""
        return list(itertools.islice(self._clicks, BATCH)) or None

    def commit(self) -> None:
        """Nothing: a file has no place to remember."""


def _of_table(path: Path) -> list[Click]:
    rows = read_table(path, "--data")
    return sorted(Click(int(seconds * 1000), session, item) for session, seconds, item in rows)


def _of_events(path: Path, tenant: str | None) -> Iterator[Click]:
    if not path.exists():
        message = f"--data: {path} does not exist"
        raise ConfigurationError(message)
    events = (event for event in jsonl.read_events(path) if tenant in (None, event.tenant_id))
    return itertools.chain.from_iterable(map(clicks_of, events))


class KafkaLog:
    """`shop.events.v1` from where the consumer group of this shop's learner stands; from the beginning the first time.

    Args:
        settings: the cluster.
        tenant: whose events count.
        follow: go on waiting at the end; otherwise the end of the moment of entering ends the log.
    """

    def __init__(self, settings: KafkaSettings, tenant: str, *, follow: bool = True) -> None:
        self._settings, self._tenant, self._follow = settings, tenant, follow
        self._group = f"{settings.topic_prefix}{LEARNER_GROUP}{tenant}"
        self._consumer: Any = None
        self._ends: dict[Any, int] = {}
        self.refused = 0

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: if no broker answers, or the group gives this learner no partition.
        """
        try:
            self._consumer = KafkaConsumer(
                self._settings.topic_prefix + EVENTS,
                **kafka_python_options(self._settings),
                group_id=self._group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                bootstrap_timeout_ms=5_000,
            )
            deadline = time.monotonic() + JOIN_SECONDS
            while not self._consumer.assignment():
                if time.monotonic() > deadline:
                    message = f"the group {self._group} gave no partition of {EVENTS} within {JOIN_SECONDS:.0f} s"
                    raise BrokerUnavailable(message)
                self._consumer.poll(timeout_ms=100, max_records=1, update_offsets=False)
            self._ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        except KafkaError as error:
            message = f"no broker answers at {self._settings.bootstrap_servers}: {error}"
            raise BrokerUnavailable(message) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False)

    def poll(self) -> Sequence[Click] | None:
        """Clicks that are there, waiting half a second for the first; records that break the contract are counted."""
        if not self._follow and all(self._consumer.position(place) >= end for place, end in self._ends.items()):
            return None
        found: list[Click] = []
        for records in self._consumer.poll(timeout_ms=500, max_records=BATCH).values():
            for record in records:
                try:
                    event = decode_event(record.value)
                except ContractError:  # the worker has put it into the dead-letter topic
                    self.refused += 1
                    continue
                found.extend(clicks_of(event) if event.tenant_id == self._tenant else ())
        return found

    def commit(self) -> None:
        """Commit the group's offsets.

        Raises:
            BrokerUnavailable: if the broker does not take them.
        """
        try:
            self._consumer.commit()
        except KafkaError as error:
            message = f"the learner's offsets could not be committed: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error

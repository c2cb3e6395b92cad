"""Dead letters: what broke, why, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import NAMESPACE_URL, uuid5

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from consumers.topic_reader import CONNECT_MS, TopicReader
from contracts.errors import BrokerUnavailable
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from contracts.topics import CATALOG, DEAD_LETTERS

PREFIX = "dlq.error."


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter: its own place, what came, and its headers."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> str:
        """`partition:offset` in the dead-letter topic."""
        return f"{self.partition}:{self.offset}"

    @property
    def error(self) -> dict[str, str]:
        """code, path, message, topic, partition, offset, stage, attempt."""
        return {name.removeprefix(PREFIX): text.decode() for name, text in self.headers if name.startswith(PREFIX)}

    @property
    def replay_id(self) -> str:
        """An event id made of the place that it came from, for one that has none: every replay gives it the same."""
        error = self.error
        origin = "|".join(error.get(name, "") for name in ("topic", "partition", "offset"))
        return str(uuid5(NAMESPACE_URL, f"dead-letter:{origin}"))

    @property
    def is_product(self) -> bool:
        """Whether it is a catalogue record, else an event."""
        return self.error.get("topic", "").endswith(CATALOG)


class DeadLetterBox:
    """Reads and clears `shop.events.dlq`.

    Args:
        settings: the cluster.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reader = TopicReader(settings, DEAD_LETTERS)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        self._reader.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, trace)

    def letters(self) -> Iterator[DeadLetter]:
        """All dead letters that the topic holds now, by partition and offset within it."""
        self._reader.rewind()
        for r in self._reader.until_now():
            yield DeadLetter(r.partition, r.offset, r.key, r.value, r.timestamp, tuple(r.headers))

    def find(self, partition: int, offset: int) -> DeadLetter | None:
        """The dead letter at this place, or None."""
        return next((letter for letter in self.letters() if (letter.partition, letter.offset) == (partition, offset)), None)

    def purge(self) -> int:
        """Delete all dead letters up to now; how many there were.

        Raises:
            BrokerUnavailable: if the broker refuses.
        """
        consumer, places = self._reader.consumer, self._reader.places
        starts, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        held = [place for place in places if ends[place] > starts[place]]
        if not held:
            return 0
        try:
            admin = KafkaAdminClient(**kafka_python_options(self._settings), bootstrap_timeout_ms=CONNECT_MS)
            try:
                admin.delete_records({place: ends[place] for place in held})
            finally:
                admin.close()
        except KafkaError as error:
            message = f"the dead letters could not be deleted: {type(error).__name__}: {error}"
            raise BrokerUnavailable(message) from error
        return int(sum(ends[place] - starts[place] for place in held))

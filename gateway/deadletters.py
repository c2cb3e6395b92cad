"""The newest dead letters with their reasons, and how one is sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from contracts.settings import KafkaSettings
from contracts.topics import CATALOG, DEAD_LETTERS, EVENTS
from gateway.follower import Followed, read_one
from gateway.ingest import Outgoing
from gateway.problem import Problem, not_found
from gateway.publisher import Publish

KEPT = 200
_PREVIEW_BYTES = 2048
_PREFIX = "dlq.error."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter: where it lies, what was wrong, and the beginning of its bytes."""

    partition: int
    offset: int
    time: int
    code: str
    path: str
    message: str
    topic: str
    stage: str
    size: int
    preview: str


class DeadLetters:
    """The last :data:`KEPT` dead letters, newest first.

    Args:
        kafka: the cluster, to fetch a letter again in full.
        publisher: where a replayed one goes.
    """

    def __init__(self, kafka: KafkaSettings, publisher: Publish) -> None:
        self._kafka = kafka
        self._publisher = publisher
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self.seen = 0

    def take(self, record: Followed) -> None:
        """One record of the dead-letter topic."""
        words = _words(record)
        value = record.value or b""
        self.seen += 1
        self._kept.appendleft(
            DeadLetter(
                record.partition,
                record.offset,
                record.timestamp,
                words.get("code", "unknown"),
                words.get("path", "$"),
                words.get("message", ""),
                words.get("topic", ""),
                words.get("stage", ""),
                len(value),
                value[:_PREVIEW_BYTES].decode("utf-8", "backslashreplace"),
            )
        )

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest letters as JSON."""
        return [asdict(letter) for letter in sorted(self._kept, key=lambda letter: -letter.time)[:limit]]

    async def replay(self, partition: int, offset: int) -> str:
        """Send the original bytes to the topic they came from; the topic.

        Raises:
            Problem: 404 if the letter is gone, 409 if it does not say where it came from.
            BrokerUnavailable: if the broker does not take it.
            TimeoutError: if the broker does not give it.
        """
        record = await read_one(self._kafka, DEAD_LETTERS, partition, offset)
        if record is None:
            message = "dead-letter"
            raise not_found(message, f"there is no dead letter at partition {partition}, offset {offset}")
        origin = _words(record).get("topic", "").removeprefix(self._kafka.topic_prefix)
        if origin not in (EVENTS, CATALOG) or record.key is None:
            detail = f"the letter names {origin!r} as its topic, expected {EVENTS} or {CATALOG}"
            raise Problem(409, "not-replayable", "The dead letter cannot be sent again", detail)
        kept = tuple(header for header in record.headers if not header[0].startswith(_PREFIX))
        await self._publisher.publish(origin, [Outgoing(record.key, record.value)], kept)
        return origin


def _words(record: Followed) -> dict[str, str]:
    return {
        name.removeprefix(_PREFIX): value.decode("utf-8", "backslashreplace")
        for name, value in record.headers
        if name.startswith(_PREFIX)
    }

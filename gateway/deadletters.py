"""The newest dead letters with their reasons, and how one is sent again."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass
from typing import Any

from contracts.keys import split_key
from contracts.settings import KafkaSettings
from contracts.topics import CATALOG, DEAD_LETTERS, EVENTS
from gateway.follower import Followed, read_one
from gateway.ingest import Outgoing
from gateway.problem import Problem, not_found
from gateway.publisher import Publish

KEPT = 200
_MOST_TENANTS = 64
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
    """The last :data:`KEPT` dead letters of each tenant, newest first: one tenant's flood pushes nobody else's out.

    A letter belongs to the tenant of its message key. One whose key is no tenant's is shown only to a caller who is bound to
    no tenant, as in the demo without keys; the command line shows them all.

    Args:
        kafka: the cluster, to fetch a letter again in full.
        publisher: where a replayed one goes.
    """

    def __init__(self, kafka: KafkaSettings, publisher: Publish) -> None:
        self._kafka = kafka
        self._publisher = publisher
        self._kept: OrderedDict[str | None, deque[DeadLetter]] = OrderedDict()
        self._seen: dict[str | None, int] = {}

    def take(self, record: Followed) -> None:
        """One record of the dead-letter topic."""
        words = _words(record)
        value = record.value or b""
        tenant = tenant_of(record.key)
        self._seen[tenant] = self._seen.get(tenant, 0) + 1
        kept = self._kept.setdefault(tenant, deque(maxlen=KEPT))
        self._kept.move_to_end(tenant)
        if len(self._kept) > _MOST_TENANTS:
            forgotten, _ = self._kept.popitem(last=False)
            self._seen.pop(forgotten, None)
        kept.appendleft(
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

    def seen(self, tenant: str | None) -> int:
        """How many letters came since the start, of a tenant or, for None, of all."""
        return sum(self._seen.values()) if tenant is None else self._seen.get(tenant, 0)

    def forget(self, key: bytes) -> None:
        """Drop what is held of a visitor who is to be forgotten: the letters whose preview names them, as a whole word."""
        tenant, _, visitor = key.decode("utf-8", "backslashreplace").partition("|")
        names = re.compile(rf"(?<![\w.-]){re.escape(visitor)}(?![\w-])")
        for known in (tenant, None):
            kept = self._kept.get(known)
            if kept is not None:
                self._kept[known] = deque((letter for letter in kept if not names.search(letter.preview)), maxlen=KEPT)

    def newest(self, limit: int, tenant: str | None) -> list[dict[str, Any]]:
        """The newest letters of a tenant, or for None of all, as JSON."""
        chosen = self._kept.values() if tenant is None else [self._kept.get(tenant, ())]
        letters = [letter for kept in chosen for letter in kept]
        return [asdict(letter) for letter in sorted(letters, key=lambda letter: -letter.time)[:limit]]

    async def replay(self, partition: int, offset: int, tenant: str | None) -> str:
        """Send the original bytes to the topic they came from; the topic.

        Args:
            partition: of the letter in the dead-letter topic.
            offset: likewise.
            tenant: whose letter it must be; None for anybody's.

        Raises:
            Problem: 404 if the letter is gone or another tenant's, 409 if it does not say where it came from.
            BrokerUnavailable: if the broker does not take it.
            TimeoutError: if the broker does not give it.
        """
        record = await read_one(self._kafka, DEAD_LETTERS, partition, offset)
        if record is None or (tenant is not None and tenant_of(record.key) != tenant):
            message = "dead-letter"
            raise not_found(message, f"there is no dead letter at partition {partition}, offset {offset}")
        origin = _words(record).get("topic", "").removeprefix(self._kafka.topic_prefix)
        if origin not in (EVENTS, CATALOG) or record.key is None:
            detail = f"the letter names {origin!r} as its topic, expected {EVENTS} or {CATALOG}"
            raise Problem(409, "not-replayable", "The dead letter cannot be sent again", detail)
        kept = tuple(header for header in record.headers if not header[0].startswith(_PREFIX))
        await self._publisher.publish(origin, [Outgoing(record.key, record.value)], kept)
        return origin


def tenant_of(key: bytes | None) -> str | None:
    """The tenant that a message key names; None for a key that is no visitor's or item's."""
    try:
        return split_key(key or b"")[0]
    except ValueError:
        return None


def _words(record: Followed) -> dict[str, str]:
    return {
        name.removeprefix(_PREFIX): value.decode("utf-8", "backslashreplace")
        for name, value in record.headers
        if name.startswith(_PREFIX)
    }

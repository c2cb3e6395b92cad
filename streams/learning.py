"""What the rankers learn from: sessions that changed are published to `shop.sessions.v1`, now and then.

This is outside the delivery rules on purpose. A record that is lost (a worker killed between two publications, a broker that
is away) costs a little knowledge and no page; a session that goes on is published anew and replaces what was published before.
Forgetting is not outside: whoever leaves the session table other than by expiry is forgotten here too, and `forget` returns
when the broker has acknowledged it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from contracts.errors import BrokerUnavailable
from contracts.keys import split_key
from contracts.sessions import MAX_TOUCHES, SHORTEST, SessionSoFar, encode_session, session_key, session_keys
from contracts.tensors import EventKind
from streams.ports import Record, RecordLog
from streams.sessions import SessionState, decode_state

if TYPE_CHECKING:
    from streams.delivery import SessionTable

_LOG = logging.getLogger(__name__)
CHUNK = 8
"""Records made and written at once: an event that comes meanwhile waits a millisecond or two, not for all that changed."""
PAUSE_SECONDS = 0.005
"""Between two chunks, so that publishing takes at most a third of the loop however many sessions changed."""


def session_record(topic: str, visitor_key: bytes, state: SessionState, knows: Callable[[int], bool]) -> Record | None:
    """The record of a session so far; None if it has fewer than two touches of items that the shop has.

    Args:
        topic: full name of the topic.
        visitor_key: `tenant_id|visitor_id`.
        state: of the visitor.
        knows: whether an item key is in the catalogue.
    """
    touches = [(key, kind) for key, kind in state.recent + state.pending if kind != EventKind.REMOVE][-MAX_TOUCHES:]
    items = tuple(key for key, _ in touches if knows(key))
    if len(items) < SHORTEST:
        return None
    tenant_id, _ = split_key(visitor_key)
    touched = max(state.touched - (len(touches) - len(items)), len(items))
    value = encode_session(SessionSoFar(tenant_id, items, touched, state.last_time))
    return Record(topic, session_key(visitor_key, state.session_id), value)


def session_tombstones(topic: str, visitor_key: bytes) -> list[Record]:
    """What makes the rankers, and after compaction the topic, forget every session of a visitor."""
    return [Record(topic, key, None) for key in session_keys(visitor_key)]


class SessionPublisher:
    """Collects which sessions changed, and publishes them when told.

    Args:
        log: where records are written.
        topic: full name of the topic.
        knows: whether an item key is in the catalogue.
        count: told what became of how many sessions: published, forgotten, failed.
        learns: False publishes no sessions, but still makes the topic forget.
    """

    def __init__(
        self,
        log: RecordLog,
        topic: str,
        knows: Callable[[int], bool],
        count: Callable[[str, int], object] = lambda _outcome, _count: None,
        *,
        learns: bool = True,
    ) -> None:
        self._log = log
        self._topic = topic
        self._knows = knows
        self._count = count
        self._learns = learns
        self._changed: dict[bytes, bytes] = {}
        self._gone: set[bytes] = set()
        self._writing = asyncio.Lock()

    def noting(self, table: SessionTable) -> SessionTable:
        """The table, with every change noted here."""
        return _Noting(table, self)

    def changed(self, key: bytes, value: bytes) -> None:
        """A visitor's state was stored."""
        if self._learns:
            self._changed[key] = value

    def left(self, key: bytes) -> None:
        """A visitor's state was removed."""
        self._changed.pop(key, None)
        self._gone.add(key)

    def ended(self, keys: Iterable[bytes]) -> None:
        """These were removed because their time was over: what they taught stays."""
        self._gone.difference_update(keys)

    async def forget(self, key: bytes) -> None:
        """Forget all sessions of a visitor; call it after the state was removed.

        Raises:
            BrokerUnavailable: the tombstones were not acknowledged.
        """
        async with self._writing:  # what is being written of the visitor comes before the tombstones
            self._changed.pop(key, None)
            await self._log.write(session_tombstones(self._topic, key))
            self._gone.discard(key)
        self._count("forgotten", 1)

    async def publish(self) -> int:
        """Publish what changed since the last time; how many sessions were written. No failure leaves this method."""
        async with self._writing:
            gone, self._gone = self._gone, set()
            changed, self._changed = self._changed, {}
            try:
                for chunk in _chunks(sorted(gone), 1):
                    await self._log.write([record for key in chunk for record in session_tombstones(self._topic, key)])
                    self._count("forgotten", len(chunk))
                return await self._write(changed)
            except BrokerUnavailable as error:
                self._gone |= gone
                self._count("failed", len(changed))
                _LOG.warning("sessions were not published", extra={"sessions": len(changed), "error": str(error)})
                return 0

    async def _write(self, changed: dict[bytes, bytes]) -> int:
        written = 0
        for chunk in _chunks(list(changed), CHUNK):
            made = (session_record(self._topic, key, decode_state(changed[key]), self._knows) for key in chunk)
            records = [record for record in made if record is not None]
            await self._log.write(records)
            self._count("published", len(records))
            written += len(records)
            await asyncio.sleep(PAUSE_SECONDS)
        return written


def _chunks(keys: list[bytes], size: int) -> Iterable[list[bytes]]:
    rest = iter(keys)
    while chunk := list(islice(rest, size)):
        yield chunk


class _Noting:
    """`streams.delivery.SessionTable` that tells a publisher what changes; keys that begin with 0xFF are no sessions."""

    def __init__(self, table: SessionTable, publisher: SessionPublisher) -> None:
        self._table = table
        self._publisher = publisher
        self.get = table.get
        self.keys = table.keys
        self.changelog = table.changelog

    def put(self, key: bytes, value: bytes, partition: int) -> None:
        """See `SessionTable.put`."""
        self._table.put(key, value, partition)
        if not key.startswith(b"\xff"):
            self._publisher.changed(key, value)

    def remove(self, key: bytes) -> None:
        """See `SessionTable.remove`."""
        self._table.remove(key)
        if not key.startswith(b"\xff"):
            self._publisher.left(key)

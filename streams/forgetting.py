"""What leaves the session table: expired sessions, event ids that are too old, visitors who want to be forgotten.

Everything here happens while no batch is in flight, so that no older state of a visitor is written afterwards, and the
tombstones are acknowledged before the memory is changed. `keys` are always (message key, partition).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.delivery import Delivery
from streams.ports import Record
from streams.sessions import IDS_PREFIX, SessionState, at_rest, decode_state, encode_state, ids_key

Keys = Sequence[tuple[bytes, int]]
_CHUNK = 1000  # entries between which events have their turn


@dataclass(frozen=True)
class Forgetting:
    """Removes entries of a delivery's table.

    Args:
        delivery: whose table it is.
    """

    delivery: Delivery

    async def expire(self, keys: Keys, is_expired: Callable[[bytes, SessionState], bool]) -> list[bytes]:
        """End sessions: a tombstone each, and the ids of their events kept under `streams.sessions.ids_key`.

        Args:
            keys: candidates.
            is_expired: asked again for each, since its state may have moved on meanwhile.

        Returns:
            The keys whose sessions were ended; none if the partitions moved while the records were written.

        Raises:
            BrokerUnavailable: if the records were not acknowledged; nothing was changed then.
        """
        table = self.delivery.table
        ended: list[tuple[bytes, int, bytes]] = []
        async with self.delivery.still():
            for key, partition in keys:
                state = self.delivery.state(key)
                if state is not None and table.get(key) is not None and is_expired(key, state):
                    ended.append((key, partition, encode_state(at_rest(state))))
            records = [table.changelog(ids_key(key), ids, partition) for key, partition, ids in ended]
            records += [table.changelog(key, None, partition) for key, partition, _ in ended]
            if not await self._written(records):
                return []
            for key, partition, ids in ended:
                table.put(ids_key(key), ids, partition)
                table.remove(key)
                self.delivery.refresher.ladder.last_pages.forget(key)
        return [key for key, _, _ in ended]

    async def erase(self, keys: Keys, extra: Sequence[Record] = ()) -> bool:
        """Forget visitors altogether; `extra` is written with the tombstones.

        Returns:
            False if the partitions moved while they were written: another worker has to do it.

        Raises:
            BrokerUnavailable: if the tombstones were not acknowledged; nothing was forgotten then.
        """
        table = self.delivery.table
        async with self.delivery.still():
            both = [(each, partition) for key, partition in keys for each in (key, ids_key(key))]
            records = [table.changelog(key, None, partition) for key, partition in both]
            if not await self._written([*records, *extra]):
                return False
            for key, _ in both:
                table.remove(key)
                self.delivery.refresher.ladder.last_pages.forget(key)
        return True

    async def drop_ids(self, before_ms: int, most: int) -> int:
        """Forget the event ids of visitors whose last event arrived before `before_ms`, and the oldest beyond `most`.

        Raises:
            BrokerUnavailable: if the tombstones were not acknowledged; nothing was forgotten then.
        """
        table = self.delivery.table
        held: list[tuple[int, bytes, bytes, int]] = []
        for index, key in enumerate(table.keys()):
            value = table.get(key) if key.startswith(IDS_PREFIX) else None
            if value is not None:
                state = decode_state(value)
                held.append((state.arrived, key, value, state.partition))
            if index % _CHUNK == _CHUNK - 1:
                await asyncio.sleep(0)
        held.sort()
        old = sum(arrived < before_ms for arrived, *_ in held)
        due = held[: max(old, len(held) - most)]
        for start in range(0, len(due), _CHUNK):
            if not await self._dropped(due[start : start + _CHUNK]):
                return start
        return len(due)

    async def _dropped(self, due: Sequence[tuple[int, bytes, bytes, int]]) -> bool:
        """Forget these, unless they have changed meanwhile; False if the partitions moved."""
        table = self.delivery.table
        async with self.delivery.still():
            gone = [(key, partition) for _, key, value, partition in due if table.get(key) == value]
            if not await self._written([table.changelog(key, None, partition) for key, partition in gone]):
                return False
            for key, _ in gone:
                table.remove(key)
        return True

    async def _written(self, records: Sequence[Record]) -> bool:
        generation = self.delivery.source.generation()
        await self.delivery.log.write(records)
        return generation == self.delivery.source.generation()

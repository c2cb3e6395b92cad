"""Where a worker's sessions are held, and how they are read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from faust.stores import STORES
from faust.stores.memory import Store

from streams.sessions import decode_state, is_newer

STORE_URL = "newest://"


class NewestStore(Store[bytes, bytes]):
    """Faust's store in memory, with a recovery that never goes back.

    A worker that was stopped in the middle of a write may write an old state after the new owner's newer one. Then the last
    record of a visitor is not the newest, and a table that takes it forgets events whose offsets are committed.
    """

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]) -> None:
        """Take in changelog records: a null value forgets, a state older than the one held is left out."""
        for event in batch:
            key = to_key(event.key)
            if event.message.value is None:
                self.data.pop(key, None)
                self._key_partition.pop(key, None)
                continue
            value, held = to_value(event.value), self.data.get(key)
            if held is None or is_newer(decode_state(value), decode_state(held)):
                self.data[key] = value
                self._key_partition[key] = event.message.partition


STORES.aliases["newest"] = f"{NewestStore.__module__}:{NewestStore.__qualname__}"

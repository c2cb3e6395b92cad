"""What a learner remembers between two starts: item keys, the old slice, the reservoir. Arrays only, nothing is unpickled.

No visitor is in it: sessions are rows of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.errors import ConfigurationError
from training.continual.growth import ItemRows
from training.continual.reservoir import Reservoir
from training.sessions.data import Ints, Queries, prefixes_of

FILE = "memory.npz"
OLD_SHARE = 10
"""One of so many of the first sessions is in the old slice."""


@dataclass
class Memory:
    """Rows of items, the fixed old slice, and sessions for replay."""

    rows: ItemRows
    old: list[Ints]
    reservoir: Reservoir

    @property
    def old_queries(self) -> Queries:
        """Every prefix of the old slice with the click that followed."""
        return prefixes_of(self.old)

    def fill(self, sessions: Sequence[Ints]) -> None:
        """Take in the first sessions of the log, which the first model is taken to know: a tenth becomes the old slice."""
        for session in sessions:
            if (len(self.old) + self.reservoir.seen) % OLD_SHARE == 0:
                self.old.append(session)
            else:
                self.reservoir.add([session])


def _packed(sessions: Sequence[Ints]) -> tuple[Ints, Ints]:
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    return (np.concatenate(list(sessions)) if len(sessions) else np.zeros(0, dtype=np.int64)), lengths


def _unpacked(items: Ints, lengths: Ints) -> list[Ints]:
    return np.split(items, np.cumsum(lengths)[:-1]) if len(lengths) else []


def save(memory: Memory, folder: Path) -> None:
    """Write the memory beside the old one, then put it in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    old, old_lengths = _packed(memory.old)
    kept, kept_lengths = _packed(memory.reservoir.draw(len(memory.reservoir)))
    part = folder / "memory.part.npz"
    np.savez_compressed(
        part,
        tenant=np.array(memory.rows.tenant),
        keys=np.array(list(memory.rows.keys), dtype=np.int64),
        old=old,
        old_lengths=old_lengths,
        kept=kept,
        kept_lengths=kept_lengths,
        seen=np.array(memory.reservoir.seen),
    )
    part.replace(folder / FILE)


def load(folder: Path, tenant: str, most: int) -> Memory | None:
    """The memory of a folder, None if there is none.

    Raises:
        ConfigurationError: if the file is broken or another tenant's.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        found = str(arrays["tenant"])
        memory = Memory(
            ItemRows(found, {int(key): row for row, key in enumerate(arrays["keys"])}),
            _unpacked(arrays["old"], arrays["old_lengths"]),
            Reservoir(most),
        )
        memory.reservoir.add(_unpacked(arrays["kept"], arrays["kept_lengths"]))
        memory.reservoir.seen = int(arrays["seen"])
    except (OSError, ValueError, KeyError) as error:
        message = f"{path}: not a learner's memory ({error}); remove it, and the learner begins anew"
        raise ConfigurationError(message) from error
    if found != tenant:
        message = f"{path}: of the tenant {found!r}, expected {tenant!r}; name another --out"
        raise ConfigurationError(message)
    return memory

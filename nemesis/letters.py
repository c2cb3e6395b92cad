"""Dead letters as every checker compares them: one for each event that breaks the contract, with what came and why."""

from __future__ import annotations

from collections.abc import Iterator

from nemesis.topic import Stored, digest_of
from streams.batch import Batch
from streams.ports import Record

Origin = tuple[int, int]  # partition and offset of the event


class Letters:
    """What must lie in the dead-letter topic beside what lies there; a few bytes a letter.

    A letter is compared in key, value and headers, so also in code, path and words of its reason; only the name of the topic
    it came from is left out, which the oracle, folding without a broker, does not know with its prefix.
    """

    def __init__(self) -> None:
        self._expected: dict[Origin, int] = {}
        self._found: dict[Origin, int] = {}
        self._different: set[Origin] = set()
        self.repeated = 0
        """Letters beyond the first of their event."""

    @property
    def expected(self) -> int:
        """Events that break the contract."""
        return len(self._expected)

    @property
    def found(self) -> int:
        """Events that have a letter, each counted once."""
        return len(self._found)

    def expect(self, origin: Origin, batch: Batch) -> None:
        """The oracle folded the event at this place alone."""
        for record in batch.dead:
            self._expected[origin] = _digest(record)

    def take(self, letter: Stored) -> None:
        """A record of the dead-letter topic."""
        headers = dict(letter.headers)
        origin = int(headers["dlq.error.partition"]), int(headers["dlq.error.offset"])
        self.repeated += origin in self._found
        digest = _digest(letter)
        if self._found.setdefault(origin, digest) != digest:
            self._different.add(origin)

    def violations(self) -> Iterator[str]:
        """Law 4 for dead letters, in words."""
        for origin in sorted(self._expected.keys() | self._found.keys()):
            wanted, found = self._expected.get(origin), self._found.get(origin)
            if found is None:
                yield f"law 4: the dead letter of {origin} is missing"
            elif wanted is None:
                yield f"law 4: the dead letter of {origin} is there for a good event"
            elif wanted != found or origin in self._different:
                yield f"law 4: the dead letter of {origin} says something else than the oracle's"


def _digest(letter: Record | Stored) -> int:
    parts = [letter.key or b"", letter.value or b"", str(letter.value is None).encode()]
    for name, held in letter.headers:
        if name != "dlq.error.topic":
            parts += [name.encode(), held or b""]
    return digest_of(b"\0".join(parts))

"""Rule 1 on a compacted topic: what a batch that failed held is not taken for what compaction left out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streams.batch import Incoming
from streams.contiguity import Contiguity


class Source:
    """One partition that begins at offset 5; notes what it is told."""

    def __init__(self) -> None:
        self.sought: list[int] = []
        self.acknowledged: list[int] = []

    def generation(self) -> int:
        return 1

    def is_current(self, _: Incoming) -> bool:
        return True

    async def committed(self, _: int) -> int:
        return 5

    async def seek(self, _: int, offset: int) -> None:
        self.sought.append(offset)

    def acknowledge(self, incoming: Incoming) -> None:
        self.acknowledged.append(incoming.offset)

    async def next(self, most: int) -> list[Incoming]:
        return at(*range(5, 5 + most))


def at(*offsets: int) -> list[Incoming]:
    return [Incoming(0, offset, b"default|i", b"{}", 0) for offset in offsets]


def started() -> tuple[Contiguity, Source]:
    source = Source()
    contiguity = Contiguity(source, lambda: 0.0, allow_gaps=True)
    contiguity.renewed()
    return contiguity, source


def take(contiguity: Contiguity, records: Sequence[Incoming]) -> list[int]:
    return [incoming.offset for incoming in asyncio.run(contiguity.take(records))]


def test_what_compaction_left_out_is_no_gap() -> None:
    contiguity, source = started()
    assert take(contiguity, at(5, 7, 12)) == [5, 7, 12]
    assert source.sought == []


def test_a_batch_that_failed_is_read_again_though_the_queue_goes_on_behind_it() -> None:
    contiguity, source = started()
    assert take(contiguity, at(5, 6, 7)) == [5, 6, 7]
    asyncio.run(contiguity.restart())
    assert source.sought == [5]
    assert take(contiguity, at(8, 9, 10)) == []
    assert source.acknowledged == []
    taken = at(5, 6, 7, 8)
    assert take(contiguity, taken) == [5, 6, 7, 8]
    contiguity.done(taken)
    assert source.acknowledged == [5, 6, 7, 8]


def test_what_is_compacted_away_before_it_is_read_again_does_not_hold_the_partition_up() -> None:
    contiguity, source = started()
    assert take(contiguity, at(5, 6, 7)) == [5, 6, 7]
    asyncio.run(contiguity.restart())
    assert take(contiguity, at(8)) == []  # of the queue before the seek
    assert take(contiguity, at(7)) == []  # 5 and 6 may still come
    assert take(contiguity, at(7, 8)) == [7, 8]  # they do not: read anew from 5, 7 is the first
    assert source.sought[-1] == 5

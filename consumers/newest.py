"""Which pages a consumer shows: for each visitor the one with the newest source offset, none twice, never back.

Pure. A visitor's events live in one partition, so offsets order the visitor's pages; a page made again after a crash has
the offset of the first and is dropped.
"""

from __future__ import annotations

from collections import OrderedDict


class NewestPages:
    """Remembers the newest source offset of each visitor, at most `most` visitors, the longest silent leave first.

    Args:
        most: visitors remembered.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self._newest: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._most = most
        self.dropped = 0
        """Pages that were older than, or the same as, one already shown."""

    def accepts(self, key: bytes, partition: int, offset: int) -> bool:
        """Whether a page of this source is newer than what was shown; it counts as shown from then on.

        A page from another partition is accepted: the topic was given more partitions and the visitor moved.
        """
        shown = self._newest.get(key)
        if shown is not None and shown[0] == partition and offset <= shown[1]:
            self.dropped += 1
            return False
        self._newest[key] = (partition, offset)
        self._newest.move_to_end(key)
        if len(self._newest) > self._most:
            self._newest.popitem(last=False)
        return True

    def forget(self, key: bytes) -> None:
        """The visitor was erased."""
        self._newest.pop(key, None)

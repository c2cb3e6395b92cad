"""Pages as they come, for a shop's own Python code.

with PageSubscriber(Settings().kafka) as pages:
    for page in pages:
        show(page.visitor_id, page.placements)

`latest_page` answers what a visitor's page is right now; `PageSubscriber.received` adds when each page arrived.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from consumers.newest import NewestPages
from consumers.topic_reader import TopicReader, partition_of
from contracts.errors import ContractError
from contracts.keys import message_key
from contracts.recommendations import PageRecommendation, decode_page
from contracts.settings import KafkaSettings
from contracts.topics import PAGES

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """A page, when it arrived here (ms since the epoch), and its tracing headers."""

    page: PageRecommendation
    arrived_time: int
    headers: tuple[tuple[str, bytes], ...]

    @property
    def freshness_ms(self) -> float:
        """From the moment the broker (or gateway) took the event until the page was here; compares two hosts' clocks."""
        return self.arrived_time - self.page.generated_time + self.page.latency_ms.event_to_emit


class PageSubscriber:
    """Iterates over pages, newest per visitor, none twice; reads without a group and commits nothing.

    Args:
        settings: the cluster.
        visitor_id: only this visitor's pages.
        tenant_id: only this shop's pages; together with `visitor_id` only one partition is read.
        from_beginning: what the topic still holds first, else only what comes from now on.
        with_expired: also pages past their `expire_time`, by this machine's clock: for looking at them, not for showing them.
        timeout_seconds: the iteration ends after this long without a page; None never ends.
        until: asked between polls; the iteration ends when it says True.
    """

    def __init__(  # noqa: PLR0913 - what may be chosen, by name
        self,
        settings: KafkaSettings,
        *,
        visitor_id: str | None = None,
        tenant_id: str | None = None,
        from_beginning: bool = False,
        with_expired: bool = False,
        timeout_seconds: float | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        self._visitor_id = visitor_id
        self._tenant_id = tenant_id
        self._from_beginning = from_beginning
        self._with_expired = with_expired
        self._timeout = timeout_seconds
        self._until = until
        self._newest = NewestPages()
        self.expired = 0
        """Pages left out because they were past their `expire_time`."""
        partitions = None
        if visitor_id is not None and tenant_id is not None:
            partitions = [partition_of(message_key(tenant_id, visitor_id), settings.partitions)]
        self._reader = TopicReader(settings, PAGES, partitions)

    def __enter__(self) -> Self:
        """Connect and take the position: pages that come from here on are seen.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        self._reader.__enter__()
        if self._from_beginning:
            self._reader.rewind()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, trace)

    @property
    def dropped(self) -> int:
        """Pages that were older than, or the same as, one already seen."""
        return self._newest.dropped

    def __iter__(self) -> Iterator[PageRecommendation]:
        """Pages only; see :meth:`received` for their arrival times."""
        for received in self.received():
            yield received.page

    def received(self) -> Iterator[Received]:
        """Pages with the time of their arrival.

        Raises:
            BrokerUnavailable: if it is used outside `with`.
        """
        last = time.monotonic()
        while not self._until() and (self._timeout is None or time.monotonic() - last < self._timeout):
            records = self._reader.poll()
            arrived = time.time_ns() // 1_000_000
            for record in records:
                page = self._page(record.key, record.value, arrived)
                if page is not None:
                    last = time.monotonic()
                    yield Received(page, arrived, tuple(record.headers))

    def _page(self, key: bytes, value: bytes | None, now: int) -> PageRecommendation | None:
        if value is None:
            self._newest.forget(key)
            return None
        page = _decoded(value)
        if page is None or self._visitor_id not in (None, page.visitor_id) or self._tenant_id not in (None, page.tenant_id):
            return None
        if not self._newest.accepts(key, page.source.partition, page.source.offset):
            return None
        if page.expire_time <= now and not self._with_expired:
            self.expired += 1
            return None
        return page


def latest_page(settings: KafkaSettings, tenant_id: str, visitor_id: str) -> PageRecommendation | None:
    """The visitor's newest page that the topic holds; None if there is none, it has expired, or it was erased.

    Reads the visitor's partition of the compacted topic once: for a shop that asks often, follow with `PageSubscriber`.

    Raises:
        BrokerUnavailable: if no broker answers.
    """
    key = message_key(tenant_id, visitor_id)
    newest, found = NewestPages(), None
    with TopicReader(settings, PAGES, [partition_of(key, settings.partitions)]) as reader:
        reader.rewind()
        for record in reader.until_now():
            if record.key != key:
                continue
            if record.value is None:
                newest.forget(key)
                found = None
                continue
            page = _decoded(record.value)
            if page is not None and newest.accepts(key, page.source.partition, page.source.offset):
                found = page
    return found if found is not None and found.expire_time > time.time_ns() // 1_000_000 else None


def _decoded(value: bytes) -> PageRecommendation | None:
    try:
        return decode_page(value)
    except ContractError as error:
        _LOG.warning("a page that breaks the contract was skipped", extra={"error": str(error)})
        return None

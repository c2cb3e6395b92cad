"""Pages as they come, for a shop's own Python code.

with PageSubscriber(Settings().kafka) as pages:
    for page in pages:
        show(page.visitor_id, page.placements)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from consumers.newest import NewestPages
from contracts.errors import BrokerUnavailable, ContractError
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.recommendations import PageRecommendation, decode_page
from contracts.settings import KafkaSettings
from contracts.topics import PAGES

_LOG = logging.getLogger(__name__)
_POLL_MS = 200


@dataclass(frozen=True)
class Received:
    """A page and when it arrived here (ms since the epoch), and its tracing headers."""

    page: PageRecommendation
    arrived_time: int
    headers: tuple[tuple[str, bytes], ...]


class PageSubscriber:
    """Iterates over pages, newest per visitor, none twice; reads all partitions and commits nothing.

    Args:
        settings: the cluster.
        visitor_id: only this visitor's pages.
        tenant_id: only this shop's pages.
        from_beginning: what the topic still holds first, else only what comes from now on.
        timeout_seconds: the iteration ends after this long without a page; None never ends.
        until: asked between polls; the iteration ends when it says True.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        visitor_id: str | None = None,
        tenant_id: str | None = None,
        from_beginning: bool = False,
        timeout_seconds: float | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._visitor_id = visitor_id
        self._tenant_id = tenant_id
        self._from_beginning = from_beginning
        self._timeout = timeout_seconds
        self._until = until
        self._newest = NewestPages()
        self._consumer: KafkaConsumer | None = None

    def __enter__(self) -> Self:
        """Connect and take the position: pages that come from here on are seen.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        try:
            consumer = KafkaConsumer(
                **kafka_python_options(self._settings),
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                fetch_max_wait_ms=100,
            )
            partitions = [
                TopicPartition(self._settings.topic_prefix + PAGES, number) for number in range(self._settings.partitions)
            ]
            consumer.assign(partitions)
            if self._from_beginning:
                consumer.seek_to_beginning(*partitions)
            else:
                consumer.seek_to_end(*partitions)
            for partition in partitions:
                consumer.position(partition)  # asks the broker now: what is published after this line is seen
        except KafkaError as error:
            message = f"no broker answers at {self._settings.bootstrap_servers}: {error}"
            raise BrokerUnavailable(message) from error
        self._consumer = consumer
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def __iter__(self) -> Iterator[PageRecommendation]:
        """Pages only; see :meth:`received` for their arrival times."""
        for received in self.received():
            yield received.page

    def received(self) -> Iterator[Received]:
        """Pages with the time of their arrival.

        Raises:
            BrokerUnavailable: if it is used outside `with`.
        """
        if self._consumer is None:
            message = "the subscriber is not connected: use it in a `with` statement"
            raise BrokerUnavailable(message)
        last = time.monotonic()
        while not self._until() and (self._timeout is None or time.monotonic() - last < self._timeout):
            for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
                arrived = time.time_ns() // 1_000_000
                for record in records:
                    page = self._page(record.key, record.value)
                    if page is not None:
                        last = time.monotonic()
                        yield Received(page, arrived, tuple(record.headers))

    def _page(self, key: bytes, value: bytes | None) -> PageRecommendation | None:
        if value is None:
            self._newest.forget(key)
            return None
        try:
            page = decode_page(value)
        except ContractError as error:
            _LOG.warning("a page that breaks the contract was skipped", extra={"error": str(error)})
            return None
        wanted = self._visitor_id in (None, page.visitor_id) and self._tenant_id in (None, page.tenant_id)
        return page if wanted and self._newest.accepts(key, page.source.partition, page.source.offset) else None


def latest_page(settings: KafkaSettings, tenant_id: str, visitor_id: str) -> PageRecommendation | None:
    """The visitor's newest page that the topic holds; None if there is none.

    Raises:
        BrokerUnavailable: if no broker answers.
    """
    found: PageRecommendation | None = None
    key = message_key(tenant_id, visitor_id)
    with PageSubscriber(
        settings, visitor_id=visitor_id, tenant_id=tenant_id, from_beginning=True, timeout_seconds=1.0
    ) as pages:
        for page in pages:
            found = page
    return found if found is not None and message_key(found.tenant_id, found.visitor_id) == key else None

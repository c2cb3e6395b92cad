"""The newest page of every visitor, in bounded memory, and who waits for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from contracts.recommendations import Source
from gateway.clock import Clock
from gateway.follower import Followed
from gateway.metrics import GatewayMetrics

_OVERHEAD_BYTES = 400  # of one page beside its value: objects, keys


class _PageHead(msgspec.Struct):
    """The few fields of a page that decide whether it is newer; the rest is passed on as it came."""

    source: Source
    sequence: int
    generated_time: int
    expire_time: int


_HEAD = msgspec.json.Decoder(_PageHead)


@dataclass(frozen=True, slots=True)
class HeldPage:
    """One page as the worker wrote it."""

    partition: int
    offset: int
    sequence: int
    generated_time: int
    expire_time: int
    value: bytes
    traceparent: bytes | None = None

    @property
    def event_id(self) -> str:
        """Identifier of the page in a stream: place of the last event folded into it."""
        return f"{self.partition}-{self.offset}"

    def is_newer(self, partition: int, offset: int, generated_time: int) -> bool:
        """Whether this page follows the one of the given place.

        Within a partition the offset decides. A visitor moves to another one only when the topic got more of them;
        then the worker's clock decides.
        """
        if self.partition == partition:
            return self.offset > offset
        return self.generated_time > generated_time


def parse_event_id(text: str | None) -> tuple[int, int] | None:
    """Place out of a Last-Event-ID; None for none or nonsense, which then means "from the newest"."""
    partition, _, offset = (text or "").partition("-")
    if partition.isdecimal() and offset.isdecimal() and len(partition) < 10 and len(offset) < 19:
        return int(partition), int(offset)
    return None


@dataclass(eq=False)
class Subscriber:
    """One open stream: pages that wait to be sent, the oldest dropped beyond `maxlen`, since a page replaces all before.

    Attributes:
        waiting: pages to send.
        after: partition and offset of the last page that the other side has seen, None if it has seen none.
        woken: set when there is something to do.
    """

    waiting: deque[HeldPage]
    after: tuple[int, int] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, page: HeldPage) -> None:
        """Queue a page and wake the stream; one that was seen before is read again by a gateway that has just started."""
        if self.after is not None and page.partition == self.after[0] and page.offset <= self.after[1]:
            return
        self.waiting.append(page)
        self.woken.set()


class PageStore:
    """Newest pages by message key.

    Args:
        memory_bytes: pages of the visitors longest without a new one are dropped beyond this.
        ring: pages kept per visitor for streams that resume.
        clock: for expiry.
        metrics: the gateway's metrics.
    """

    def __init__(self, memory_bytes: int, ring: int, clock: Clock, metrics: GatewayMetrics) -> None:
        self._limit = memory_bytes
        self._ring = ring
        self._clock = clock
        self._metrics = metrics
        self._pages: OrderedDict[bytes, deque[HeldPage]] = OrderedDict()
        self._subscribers: dict[bytes, set[Subscriber]] = {}
        self._bytes = 0
        self._closing = False

    def take(self, record: Followed) -> None:
        """One record of the page topic; an older page, a repeated one or a broken one changes nothing."""
        if record.key is None:
            self._metrics.pages.labels("broken").inc()
            return
        if record.value is None:
            self.forget(record.key)
            self._metrics.pages.labels("erased").inc()
            return
        try:
            head = _HEAD.decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._metrics.pages.labels("broken").inc()
            return
        now = self._clock.wall_ms()
        page = HeldPage(
            head.source.partition,
            head.source.offset,
            head.sequence,
            head.generated_time,
            head.expire_time,
            record.value,
            next((value for name, value in record.headers if name == "traceparent"), None),
        )
        if self._keep(record.key, page):
            self._metrics.pages.labels("newer").inc()
            self._metrics.page_age.observe(max(0, now - page.generated_time) / 1000)
        else:
            self._metrics.pages.labels("older").inc()

    def _keep(self, key: bytes, page: HeldPage) -> bool:
        ring = self._pages.get(key)
        if ring is None:
            ring = self._pages[key] = deque()
        elif not page.is_newer(ring[-1].partition, ring[-1].offset, ring[-1].generated_time):
            return False
        ring.append(page)
        self._bytes += len(page.value) + _OVERHEAD_BYTES
        while len(ring) > self._ring:
            self._bytes -= len(ring.popleft().value) + _OVERHEAD_BYTES
        self._pages.move_to_end(key)
        while self._bytes > self._limit and len(self._pages) > 1:
            self._drop(next(iter(self._pages)))
        for subscriber in self._subscribers.get(key, ()):
            subscriber.offer(page)
        return True

    def _drop(self, key: bytes) -> None:
        self._bytes -= sum(len(page.value) + _OVERHEAD_BYTES for page in self._pages.pop(key, ()))

    def forget(self, key: bytes) -> None:
        """Drop a visitor's pages: erased, or its session is gone."""
        self._drop(key)
        for subscriber in self._subscribers.get(key, ()):
            subscriber.waiting.clear()

    def latest(self, key: bytes) -> HeldPage | None:
        """Newest page of a visitor; None if there is none or it has expired."""
        ring = self._pages.get(key)
        if not ring or ring[-1].expire_time <= self._clock.wall_ms():
            return None
        return ring[-1]

    def since(self, key: bytes, place: tuple[int, int] | None) -> list[HeldPage]:
        """What a stream that begins must send: every kept page after `place`, or the newest one."""
        ring = self._pages.get(key)
        now = self._clock.wall_ms()
        live = [page for page in ring or () if page.expire_time > now]
        if place is None or not live or live[-1].partition != place[0]:
            return live[-1:]
        return [page for page in live if page.offset > place[1]]

    @asynccontextmanager
    async def subscribe(self, key: bytes, place: tuple[int, int] | None) -> AsyncIterator[Subscriber]:
        """A subscriber that first gets :meth:`since`; no page between the two is lost."""
        subscriber = Subscriber(deque(self.since(key, place), maxlen=self._ring), place)
        if subscriber.waiting or self._closing:
            subscriber.woken.set()
        self._subscribers.setdefault(key, set()).add(subscriber)
        try:
            yield subscriber
        finally:
            others = self._subscribers[key]
            others.discard(subscriber)
            if not others:
                del self._subscribers[key]

    def close(self) -> None:
        """Tell every stream to end, so that the server can stop."""
        self._closing = True
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.woken.set()

    @property
    def is_closing(self) -> bool:
        """Whether streams should end."""
        return self._closing

    @property
    def open_streams(self) -> int:
        """Streams open now."""
        return sum(len(subscribers) for subscribers in self._subscribers.values())

    def observe(self) -> None:
        """Bring the gauges up to date."""
        self._metrics.visitors.set(len(self._pages))
        self._metrics.page_bytes.set(self._bytes)
        self._metrics.streams.set(self.open_streams)

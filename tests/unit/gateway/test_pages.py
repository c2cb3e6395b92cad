"""The page store: newest page per visitor, resume, bounded memory."""

from __future__ import annotations

import asyncio
import json

from prometheus_client import CollectorRegistry

from gateway.follower import Followed
from gateway.metrics import GatewayMetrics
from gateway.pages import PageStore, parse_event_id
from tests.fakes import ManualClock

KEY = b"default|v"


def record(offset: int, *, key: bytes = KEY, partition: int = 0, generated: int = 0, padding: int = 0) -> Followed:
    value = {
        "visitor_id": "v",
        "source": {"partition": partition, "offset": offset},
        "sequence": offset,
        "generated_time": 1_800_000_000_000 + generated,
        "expire_time": 1_800_000_300_000,
        "padding": "x" * padding,
    }
    return Followed(key, json.dumps(value).encode(), 0, offset, 0, ())


def store(memory_bytes: int = 1_000_000, ring: int = 4) -> tuple[PageStore, ManualClock, CollectorRegistry]:
    registry, clock = CollectorRegistry(), ManualClock()
    return PageStore(memory_bytes, ring, clock, GatewayMetrics.create(registry)), clock, registry


def test_an_older_or_repeated_page_changes_nothing() -> None:
    pages, _, registry = store()
    for offset in (5, 3, 5, 7):
        pages.take(record(offset))
    latest = pages.latest(KEY)
    assert latest is not None
    assert latest.event_id == "0-7"
    assert registry.get_sample_value("vitrine_gateway_pages_total", {"outcome": "older"}) == 2


def test_a_page_is_not_given_out_after_it_has_expired() -> None:
    pages, clock, _ = store()
    pages.take(record(1))
    clock.advance(300_000)
    assert pages.latest(KEY) is None
    assert pages.since(KEY, None) == []


def test_an_erased_visitor_has_no_page() -> None:
    pages, _, _ = store()
    pages.take(record(1))
    pages.take(Followed(KEY, None, 0, 2, 0, ()))
    assert pages.latest(KEY) is None


def test_broken_records_are_counted_and_passed_over() -> None:
    pages, _, registry = store()
    for value in (b"{", b"{}", b"\xff"):
        pages.take(Followed(KEY, value, 0, 0, 0, ()))
    assert registry.get_sample_value("vitrine_gateway_pages_total", {"outcome": "broken"}) == 3


def test_a_stream_that_resumes_gets_every_newer_page_that_is_kept() -> None:
    pages, _, _ = store(ring=3)
    for offset in range(1, 6):
        pages.take(record(offset))
    assert [page.offset for page in pages.since(KEY, (0, 3))] == [4, 5]
    assert [page.offset for page in pages.since(KEY, (0, 5))] == []
    assert [page.offset for page in pages.since(KEY, None)] == [5]
    assert [page.offset for page in pages.since(KEY, (0, 1))] == [3, 4, 5]


def test_when_a_visitor_moves_to_another_partition_the_clock_of_the_worker_decides() -> None:
    pages, _, _ = store()
    pages.take(record(90, partition=0, generated=10))
    pages.take(record(2, partition=5, generated=20))
    pages.take(record(91, partition=0, generated=15))
    latest = pages.latest(KEY)
    assert latest is not None
    assert latest.event_id == "5-2"
    assert [page.event_id for page in pages.since(KEY, (0, 90))] == ["5-2"]


def test_memory_is_bounded_by_dropping_the_visitors_longest_without_a_page() -> None:
    pages, _, registry = store(memory_bytes=20_000)
    for number in range(40):
        pages.take(record(number, key=f"default|v{number}".encode(), padding=1000))
    pages.observe()
    held = registry.get_sample_value("vitrine_gateway_page_store_bytes")
    assert held is not None
    assert held <= 20_000
    assert pages.latest(b"default|v0") is None
    assert pages.latest(b"default|v39") is not None


def test_a_slow_stream_loses_old_pages_never_the_newest() -> None:
    async def scenario() -> list[int]:
        pages, _, _ = store(ring=2)
        async with pages.subscribe(KEY, None) as subscriber:
            for offset in range(10):
                pages.take(record(offset))
            await asyncio.wait_for(subscriber.woken.wait(), 1)
            return [page.offset for page in subscriber.waiting]

    assert asyncio.run(scenario()) == [8, 9]


def test_a_stream_that_resumes_at_a_gateway_that_still_reads_gets_nothing_again() -> None:
    async def scenario() -> list[str]:
        pages, _, _ = store()
        async with pages.subscribe(KEY, (0, 5)) as subscriber:
            for offset in (4, 5, 6):  # a gateway that has just started reads the topic from its beginning
                pages.take(record(offset))
            pages.take(record(1, partition=1, generated=1))
            return [page.event_id for page in subscriber.waiting]

    assert asyncio.run(scenario()) == ["0-6", "1-1"]


def test_a_subscriber_of_one_visitor_never_sees_another() -> None:
    async def scenario() -> bool:
        pages, _, _ = store()
        async with pages.subscribe(KEY, None) as subscriber:
            pages.take(record(1, key=b"default|w"))
            assert pages.open_streams == 1
            return subscriber.woken.is_set()

    assert asyncio.run(scenario()) is False


def test_nonsense_as_last_event_id_means_from_the_newest() -> None:
    assert parse_event_id("3-17") == (3, 17)
    for text in (None, "", "3", "a-b", "-1-2", "1-" + "9" * 30, "1-²"):
        assert parse_event_id(text) is None

"""How fresh pages were, and where a key lives."""

from __future__ import annotations

import pytest

from consumers.freshness import Freshness
from consumers.pages import Received
from consumers.topic_reader import partition_of
from contracts.recommendations import Latency, Model, PageRecommendation, Source


def page(generated: int, event_to_emit: float) -> PageRecommendation:
    """A page of no items."""
    return PageRecommendation(
        recommendation_id="r", attribution_token="a", tenant_id="t", visitor_id="v", user_id=None, session_id="s",
        page_view_id=None, page_type="home", trigger_event_id="e", trigger_event_time=0, generated_time=generated,
        expire_time=0, sequence=1, source=Source(0, 0), index_version=0, placements=(), model=Model("m", "1"),
        experiment_ids=(), missing_ids=(), degraded=False, fallback_reason=None,
        latency_ms=Latency(0, 0, 0, 0, 0, 0, 0, event_to_emit),
    )  # fmt: skip


def test_freshness_counts_from_the_broker_s_time_of_the_event_to_the_arrival() -> None:
    assert Received(page(1_000, 7.0), 1_004, ()).freshness_ms == 11.0


def test_percentiles_are_those_of_the_newest_pages() -> None:
    freshness = Freshness(window=101)
    assert freshness.summary() == {}
    freshness.add(5.0)
    assert set(freshness.summary().values()) == {5.0}
    for milliseconds in (1e6, *range(101)):
        freshness.add(milliseconds)
    assert freshness.summary() == pytest.approx({"p50": 50, "p95": 95, "p99": 99, "max": 100})
    assert freshness.pages == 103


@pytest.mark.parametrize(
    ("key", "murmur2"), [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)]
)
def test_a_key_is_read_from_the_partition_that_the_java_client_writes_it_to(key: bytes, murmur2: int) -> None:
    # The hashes are those of Apache Kafka's own UtilsTest; the partition is positive(hash) modulo partitions.
    assert partition_of(key, 7) == (murmur2 & 0x7FFFFFFF) % 7

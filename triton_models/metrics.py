"""Metrics of the models' processes, created from a registry so that a test has its own."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitoring.metrics import BATCH_BUCKETS, ELIGIBILITY_BUCKETS, LATENCY_BUCKETS


@dataclass(frozen=True)
class IndexMetrics:
    """What the follower of the item topic counts."""

    records: Counter
    size: Gauge
    eligible: Gauge
    position: Gauge
    behind: Gauge
    age: Gauge
    time_to_eligibility: Histogram
    reconnects: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> IndexMetrics:
        """Register every metric of the follower in `registry`."""
        return cls(
            records=Counter(
                "vitrine_index_records_total",
                "Item records by what was done: upserted, deleted, malformed, other_width, other_version",
                ["outcome"],
                registry=registry,
            ),
            size=Gauge("vitrine_index_items", "Items known to the ranker", registry=registry),
            eligible=Gauge("vitrine_index_eligible_items", "Items that may answer", registry=registry),
            position=Gauge("vitrine_index_position", "Sum of the next offsets of the item topic", registry=registry),
            behind=Gauge("vitrine_index_lag_messages", "Item records not yet applied", registry=registry),
            age=Gauge("vitrine_index_age_seconds", "Time since the follower last heard from the broker", registry=registry),
            time_to_eligibility=Histogram(
                "vitrine_time_to_eligibility_seconds",
                "From the catalogue record at the broker to the item in the index",
                buckets=ELIGIBILITY_BUCKETS,
                registry=registry,
            ),
            reconnects=Counter("vitrine_index_reconnects_total", "Times the item topic was lost", registry=registry),
        )


@dataclass(frozen=True)
class LearningMetrics:
    """What the follower of the session topic counts."""

    records: Counter
    sessions: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> LearningMetrics:
        """Register both in `registry`."""
        return cls(
            records=Counter(
                "vitrine_learned_records_total",
                "Session records by what was done: learned, forgotten, malformed",
                ["outcome"],
                registry=registry,
            ),
            sessions=Gauge("vitrine_learned_sessions", "Sessions that may be neighbours, of all shops", registry=registry),
        )


@dataclass(frozen=True)
class RankerMetrics:
    """What `page_ranker` measures of itself."""

    duration: Histogram
    rows: Histogram
    refused: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> RankerMetrics:
        """Register every metric of the ranker in `registry`."""
        return cls(
            duration=Histogram(
                "vitrine_ranker_duration_seconds",
                "Time of one call inside the model by part: step, retrieve, rank",
                ["part"],
                buckets=(0.0001, 0.00025, *LATENCY_BUCKETS),
                registry=registry,
            ),
            rows=Histogram("vitrine_ranker_batch_rows", "Sessions in one call", buckets=BATCH_BUCKETS, registry=registry),
            refused=Counter("vitrine_ranker_refused_total", "Calls refused for wrong tensors", registry=registry),
        )

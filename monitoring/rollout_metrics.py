"""Metrics of model versions in a worker: which one answers, and how a shadow's answers differ from the live ones."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitoring.metrics import LATENCY_BUCKETS

OUTCOMES = ("compared", "dropped", "failed", "wrong_version")
_OVERLAP_BUCKETS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
_CORRELATION_BUCKETS = (-0.5, 0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class RolloutMetrics:
    """What a worker tells of the versions it asks."""

    route_serial: Gauge
    live_version: Gauge
    shadow_version: Gauge
    route_failures: Counter
    recorded: Gauge
    shadow_rows: Counter
    overlap: Histogram
    correlation: Histogram
    score_mean: Gauge
    stability: Gauge
    shadow_duration: Histogram

    @classmethod
    def create(cls, registry: CollectorRegistry) -> RolloutMetrics:
        """Register them in `registry`."""
        made = cls(
            route_serial=Gauge(
                "vitrine_route_serial", "Newest record of shop.models.v1 that this worker has carried out", registry=registry
            ),
            live_version=Gauge(
                "vitrine_route_live_version", "Model version that the record names as live, 0 for none", registry=registry
            ),
            shadow_version=Gauge(
                "vitrine_route_shadow_version", "Model version that is asked in the shadow, 0 for none", registry=registry
            ),
            route_failures=Counter(
                "vitrine_route_failures_total",
                "Times that a server named in the record did not answer with its version",
                registry=registry,
            ),
            recorded=Gauge("vitrine_recorded_requests", "Requests kept for the warm-up of a new version", registry=registry),
            shadow_rows=Counter(
                "vitrine_shadow_rows_total",
                "Copied requests by outcome: compared, dropped (the shadow is slower than the sample), failed, wrong_version",
                ["outcome"],
                registry=registry,
            ),
            overlap=Histogram(
                "vitrine_shadow_overlap",
                "Part of the live answer's best 20 items that the shadow has among its own best 20",
                buckets=_OVERLAP_BUCKETS,
                registry=registry,
            ),
            correlation=Histogram(
                "vitrine_shadow_rank_correlation",
                "Spearman's rank correlation over the items that both answers hold",
                buckets=_CORRELATION_BUCKETS,
                registry=registry,
            ),
            score_mean=Gauge(
                "vitrine_shadow_score_mean",
                "Mean click probability of the best 20 items since the shadow began",
                ["model"],
                registry=registry,
            ),
            stability=Gauge(
                "vitrine_shadow_score_psi",
                "Population stability index of the shadow's scores against the live ones since the shadow began",
                registry=registry,
            ),
            shadow_duration=Histogram(
                "vitrine_shadow_duration_seconds",
                "Time of one call of the shadow",
                buckets=LATENCY_BUCKETS,
                registry=registry,
            ),
        )
        for outcome in OUTCOMES:
            made.shadow_rows.labels(outcome)  # from zero on: a rate misses the first of a counter that was not there
        return made

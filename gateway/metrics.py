"""Metrics of the gateway; labels are route templates, outcomes and topics, never a visitor or a key."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitoring.metrics import LATENCY_BUCKETS

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True)
class GatewayMetrics:
    """What the gateway counts."""

    requests: Counter
    duration: Histogram
    events: Counter
    items: Counter
    publish: Histogram
    publish_failures: Counter
    pending: Gauge
    refused: Counter
    streams: Gauge
    pages: Counter
    page_age: Histogram
    visitors: Gauge
    page_bytes: Gauge
    catalogue: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> GatewayMetrics:
        """Register every metric of the gateway in `registry`."""
        return cls(
            requests=Counter(
                "vitrine_gateway_requests_total", "Requests answered", ["route", "method", "status"], registry=registry
            ),
            duration=Histogram(
                "vitrine_gateway_request_duration_seconds",
                "Time from the request line to the first byte of the answer",
                ["route"],
                buckets=_SECONDS,
                registry=registry,
            ),
            events=Counter(
                "vitrine_gateway_events_total", "Events by source format and outcome", ["format", "outcome"], registry=registry
            ),
            items=Counter("vitrine_gateway_items_total", "Catalogue items by outcome", ["outcome"], registry=registry),
            publish=Histogram(
                "vitrine_gateway_publish_duration_seconds",
                "Time until the broker acknowledged a request's records",
                buckets=LATENCY_BUCKETS,
                registry=registry,
            ),
            publish_failures=Counter(
                "vitrine_gateway_publish_failures_total",
                "Requests that the broker did not acknowledge in time",
                registry=registry,
            ),
            pending=Gauge("vitrine_gateway_pending_records", "Records that wait for the broker", registry=registry),
            refused=Counter(
                "vitrine_gateway_refused_total", "Requests refused before their body was read", ["reason"], registry=registry
            ),
            streams=Gauge("vitrine_gateway_streams_open", "Page streams open now", registry=registry),
            pages=Counter(
                "vitrine_gateway_pages_total",
                "Records of the page topic: newer, older, erased, broken",
                ["outcome"],
                registry=registry,
            ),
            page_age=Histogram(
                "vitrine_gateway_page_age_seconds",
                "Age of a page when the gateway has it: its generated_time until now",
                buckets=LATENCY_BUCKETS,
                registry=registry,
            ),
            visitors=Gauge("vitrine_gateway_page_store_visitors", "Visitors whose pages are held", registry=registry),
            page_bytes=Gauge("vitrine_gateway_page_store_bytes", "Bytes of the pages held", registry=registry),
            catalogue=Gauge("vitrine_gateway_catalogue_items", "Items of the catalogue held for look-ups", registry=registry),
        )

"""Metrics of the worker, created from a registry so that a test has its own; base units, bounded labels, no visitor ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from contracts.errors import contract_codes
from contracts.events import PageType
from contracts.recommendations import FallbackReason

# 0.5 ms to 2.5 s: the stages of a page lie between, and a page later than that is stale.
LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 48, 64)
ELIGIBILITY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)

POSITION_BUCKETS = (0, 1, 2, 3, 5, 7, 9, 11, 15, 23, 39)

STAGES = ("queue", "fold", "rpc", "model", "rules", "publish", "event_to_page")


def _from_zero(counter: Counter, *labels: Iterable[str]) -> Counter:
    """Show every combination of labels from the start: a rate does not see the first count of a series that was not there."""
    for values in product(*labels):
        counter.labels(*values)
    return counter


@dataclass(frozen=True)
class WorkerMetrics:
    """What the events worker counts; `events` equals processed + coalesced + duplicate + dead-lettered."""

    events: Counter
    outcomes: Counter
    dead_letters: Counter
    late: Counter
    replayed: Counter
    pages: Counter
    fallbacks: Counter
    stage: Histogram
    batch_size: Histogram
    sessions: Gauge
    expired: Counter
    erased: Counter
    lag_messages: Gauge
    lag_seconds: Gauge
    dropped_batches: Counter
    seeks: Counter
    breaker_open: Gauge
    model: Info
    index_version: Gauge
    item_view_size: Gauge
    placement_items: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> WorkerMetrics:
        """Register every metric of the worker in `registry`."""
        return cls(
            events=Counter("vitrine_events_total", "Events taken from the events topic", registry=registry),
            outcomes=_from_zero(
                Counter(
                    "vitrine_event_outcomes_total",
                    "What became of each event: processed, coalesced, duplicate, dead_letter",
                    ["outcome"],
                    registry=registry,
                ),
                ("processed", "coalesced", "duplicate", "dead_letter"),
            ),
            dead_letters=_from_zero(
                Counter("vitrine_dead_letters_total", "Records kept as dead letters", ["reason"], registry=registry),
                contract_codes(),
            ),
            late=Counter(
                "vitrine_late_events_total", "Events older than their session by more than the idle time", registry=registry
            ),
            replayed=Counter(
                "vitrine_replayed_events_total", "Events seen again after a restart and skipped", registry=registry
            ),
            pages=_from_zero(
                Counter(
                    "vitrine_pages_total", "Pages acknowledged by the broker", ["page_type", "degraded"], registry=registry
                ),
                get_args(PageType),
                ("false", "true"),
            ),
            fallbacks=_from_zero(
                Counter("vitrine_fallbacks_total", "Pages made without the ranker", ["reason"], registry=registry),
                get_args(FallbackReason),
            ),
            stage=Histogram(
                "vitrine_stage_duration_seconds",
                "Time of each stage of a page, from one trace",
                ["stage"],
                buckets=LATENCY_BUCKETS,
                registry=registry,
            ),
            batch_size=Histogram("vitrine_batch_events", "Events in one micro-batch", buckets=BATCH_BUCKETS, registry=registry),
            sessions=Gauge("vitrine_sessions_active", "Sessions held in the table of this worker", registry=registry),
            expired=Counter("vitrine_sessions_expired_total", "Sessions removed after the idle time", registry=registry),
            erased=Counter("vitrine_visitors_erased_total", "Visitors erased on request", registry=registry),
            lag_messages=Gauge(
                "vitrine_consumer_lag_messages", "Records not yet processed", ["topic", "partition"], registry=registry
            ),
            lag_seconds=Gauge(
                "vitrine_consumer_lag_seconds", "Age of the last processed event when its page was made", registry=registry
            ),
            dropped_batches=_from_zero(
                Counter("vitrine_dropped_batches_total", "Batches dropped and read again", ["reason"], registry=registry),
                ("rebalance", "error"),
            ),
            seeks=Counter("vitrine_contiguity_seeks_total", "Times a gap made the worker seek back", registry=registry),
            breaker_open=Gauge("vitrine_ranker_breaker_open", "1 while the ranker is given a rest", registry=registry),
            model=Info("vitrine_ranker_model", "Model that answered last", registry=registry),
            index_version=Gauge(
                "vitrine_ranker_index_version", "Position of the item index that answered last", registry=registry
            ),
            item_view_size=Gauge("vitrine_item_view_items", "Items whose metadata this worker holds", registry=registry),
            placement_items=Counter(
                "vitrine_placement_items_total", "Items shown by candidate source", ["source"], registry=registry
            ),
        )


@dataclass(frozen=True)
class FeedbackMetrics:
    """What events tell of earlier pages and of ads."""

    attributed: Counter
    foreign_tokens: Counter
    clicked_position: Histogram
    ads: Counter
    ad_spend: Counter
    ad_budget: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> FeedbackMetrics:
        """Register them in `registry`."""
        return cls(
            attributed=_from_zero(
                Counter(
                    "vitrine_attributed_actions_total",
                    "Items clicked, put into the cart or bought from one of our pages",
                    ["action"],
                    registry=registry,
                ),
                ("click", "cart", "purchase"),
            ),
            foreign_tokens=Counter(
                "vitrine_foreign_attribution_tokens_total", "Attribution tokens that were not ours", registry=registry
            ),
            clicked_position=Histogram(
                "vitrine_clicked_position",
                "Place on the page of what was clicked, from 0",
                buckets=POSITION_BUCKETS,
                registry=registry,
            ),
            ads=Counter("vitrine_ads_total", "Ads shown and clicked, as reported", ["campaign", "event"], registry=registry),
            ad_spend=Counter(
                "vitrine_ad_spend_total", "Bids of clicked ads, in the catalogue's currency", ["campaign"], registry=registry
            ),
            ad_budget=Gauge(
                "vitrine_ad_budget", "Budget of a day, in the catalogue's currency", ["campaign"], registry=registry
            ),
        )


def published_sessions(registry: CollectorRegistry) -> Counter:
    """Sessions that a worker published for the rankers to learn from, by outcome: published, forgotten, failed."""
    return Counter(
        "vitrine_sessions_published_total", "Sessions published for the rankers by outcome", ["outcome"], registry=registry
    )


@dataclass(frozen=True)
class CatalogMetrics:
    """What the catalogue agent counts."""

    records: Counter
    dead_letters: Counter
    batch_size: Histogram
    encode: Histogram
    errors: Counter
    pictures: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> CatalogMetrics:
        """Register every metric of the catalogue agent in `registry`."""
        return cls(
            records=Counter(
                "vitrine_catalog_records_total", "Catalogue records by what was done", ["outcome"], registry=registry
            ),
            dead_letters=Counter(
                "vitrine_catalog_dead_letters_total", "Catalogue records kept as dead letters", ["reason"], registry=registry
            ),
            batch_size=Histogram(
                "vitrine_catalog_batch_items", "Records in one batch", buckets=BATCH_BUCKETS, registry=registry
            ),
            encode=Histogram(
                "vitrine_catalog_batch_duration_seconds",
                "Time of one batch from read to acknowledged",
                buckets=ELIGIBILITY_BUCKETS,
                registry=registry,
            ),
            errors=Counter("vitrine_catalog_retries_total", "Batches tried again", ["reason"], registry=registry),
            pictures=Counter(
                "vitrine_catalog_pictures_missing_total",
                "Pictures that could not be had: refused for good, or unavailable for now",
                ["reason"],
                registry=registry,
            ),
        )

"""Grafana dashboards as code: `python -m monitoring.dashboards` writes `monitoring/grafana/dashboards/*.json`.

Units: ours are seconds; Triton's `nv_*_us` metrics are microseconds and are divided where they are shown.
"""

from __future__ import annotations

from pathlib import Path

from monitoring.panels import Dashboard, Panel, text

FOLDER = Path(__file__).parent / "grafana" / "dashboards"


def _quantiles(metric: str, by: str = "", where: str = "", window: str = "1m") -> dict[str, str]:
    group = f"sum by (le{', ' + by if by else ''})"
    legend = f" {{{{{by}}}}}" if by else ""
    return {
        f"p{name}{legend}": f"histogram_quantile({q}, {group} (rate({metric}_bucket{where}[{window}])))"
        for name, q in (("50", 0.5), ("95", 0.95), ("99", 0.99))
    }


_STAGE = "vitrine_stage_duration_seconds"
_FRESHNESS = Panel(
    "Event to page",
    _quantiles(_STAGE, where='{stage="event_to_page"}'),
    "s",
    about="From the broker's stamp of the event to the acknowledged page. The objective is 250 ms for 99 %.",
    limit=0.25,
)

OVERVIEW = Dashboard(
    "vitrine-overview",
    "Vitrine: overview",
    (
        Panel("Events per second", {"events": "sum(rate(vitrine_events_total[1m]))"}, "reqps", "stat", 4),
        Panel("Pages per second", {"pages": "sum(rate(vitrine_pages_total[1m]))"}, "reqps", "stat", 4),
        Panel("Freshness p99", {"p99": "vitrine:event_to_page_seconds:p99"}, "s", "stat", 4, limit=0.25),
        Panel(
            "Fallback pages",
            {"share": 'sum(rate(vitrine_fallbacks_total{reason!="triton_slow"}[5m])) / sum(rate(vitrine_pages_total[5m]))'},
            "percentunit",
            "stat",
            4,
            limit=0.001,
        ),
        Panel("Sessions held", {"sessions": "sum(vitrine_sessions_active)"}, "short", "stat", 4),
        Panel("Items recommendable", {"items": "max(vitrine_index_eligible_items)"}, "short", "stat", 4),
        _FRESHNESS,
        Panel(
            "What became of the events",
            {"{{outcome}}": "sum by (outcome) (rate(vitrine_event_outcomes_total[1m]))"},
            "reqps",
            about="processed + coalesced + duplicate + dead_letter is what came in.",
        ),
        Panel("Events that wait", {"messages": "sum(vitrine_consumer_lag_messages)"}),
        Panel("Processes that answer", {"{{process}}": "up"}, about="1 answers, 0 does not."),
    ),
)

LATENCY = Dashboard(
    "vitrine-latency",
    "Vitrine: latency by stage",
    (
        _FRESHNESS,
        Panel(
            "Stages, p95",
            {"{{stage}}": f"histogram_quantile(0.95, sum by (stage, le) (rate({_STAGE}_bucket[1m])))"},
            "s",
            about="The stages of docs/architecture.md, from one monotonic trace; rpc contains model.",
        ),
        *(
            Panel(name, _quantiles(_STAGE, where=f'{{stage="{stage}"}}'), "s", width=8)
            for stage, name in (
                ("queue", "queue: broker to micro-batch"),
                ("fold", "fold: decode and apply"),
                ("rpc", "rpc: call to Triton"),
                ("model", "model: inside Triton"),
                ("rules", "rules: the page"),
                ("publish", "publish: until acknowledged"),
            )
        ),
        Panel(
            "Events in a micro-batch",
            {"mean": "rate(vitrine_batch_events_sum[1m]) / rate(vitrine_batch_events_count[1m])"},
            about="Grows by itself with the load; 64 is the most.",
        ),
        Panel("Gateway requests", _quantiles("vitrine_gateway_request_duration_seconds"), "s"),
    ),
)

KAFKA = Dashboard(
    "vitrine-kafka",
    "Vitrine: Kafka, lag and delivery",
    (
        Panel("Lag by partition", {"{{topic}} {{partition}}": "vitrine_consumer_lag_messages"}),
        Panel("Age of the last processed event", {"seconds": "max(vitrine_consumer_lag_seconds)"}, "s"),
        Panel("Batches dropped and read again", {"{{reason}}": "sum by (reason) (rate(vitrine_dropped_batches_total[5m]))"}),
        Panel(
            "Delivery",
            {
                "replayed": "sum(rate(vitrine_replayed_events_total[5m]))",
                "seeks": "sum(rate(vitrine_contiguity_seeks_total[5m]))",
                "late": "sum(rate(vitrine_late_events_total[5m]))",
            },
        ),
        Panel("Dead letters", {"{{reason}}": "sum by (reason) (rate(vitrine_dead_letters_total[5m]))"}),
        Panel(
            "Sessions",
            {"held": "sum(vitrine_sessions_active)", "expired/s": "sum(rate(vitrine_sessions_expired_total[5m]))"},
        ),
        Panel("Erased visitors", {"visitors": "sum(vitrine_visitors_erased_total)"}),
        Panel("Gateway: records that wait for the broker", {"records": "sum(vitrine_gateway_pending_records)"}),
    ),
)

MODELS = Dashboard(
    "vitrine-models",
    "Vitrine: Triton, models and index",
    (
        Panel("Inside the ranker, p95", _quantiles("vitrine_ranker_duration_seconds", by="part"), "s"),
        Panel(
            "Triton: time per request",
            {"{{model}}": "rate(nv_inference_request_duration_us[1m]) / rate(nv_inference_request_success[1m])"},
            "µs",
        ),
        Panel("Triton: requests", {"{{model}}": "rate(nv_inference_request_success[1m])"}, "reqps"),
        Panel("Triton: failures", {"{{model}}": "sum by (model) (rate(nv_inference_request_failure[1m]))"}, "reqps"),
        Panel("Fallback pages", {"{{reason}}": "sum by (reason) (rate(vitrine_fallbacks_total[1m]))"}, "reqps"),
        Panel("Breaker open", {"{{process}}": "vitrine_ranker_breaker_open"}),
        Panel("Model that answered", {"{{name}} {{version}}": "vitrine_ranker_model_info"}),
        Panel(
            "Index",
            {"known": "max(vitrine_index_items)", "recommendable": "max(vitrine_index_eligible_items)"},
        ),
        Panel(
            "Index: position and lag", {"position": "max(vitrine_index_position)", "behind": "max(vitrine_index_lag_messages)"}
        ),
        Panel(
            "New product to recommendable",
            _quantiles("vitrine_time_to_eligibility_seconds", window="10m"),
            "s",
            limit=5.0,
            about="From the broker's stamp of the catalogue record to the ranker's index.",
        ),
        Panel("Catalogue records", {"{{outcome}}": "sum by (outcome) (rate(vitrine_catalog_records_total[1m]))"}, "reqps"),
    ),
)

QUALITY = Dashboard(
    "vitrine-quality",
    "Vitrine: recommendation quality online",
    (
        Panel(
            "Where shown items come from",
            {"{{source}}": "sum by (source) (rate(vitrine_placement_items_total[5m]))"},
            about="Candidate sources of the items on published pages.",
        ),
        Panel(
            "Pages by type",
            {"{{page_type}}": "sum by (page_type) (rate(vitrine_pages_total[5m]))"},
        ),
        Panel(
            "Exploration share",
            {
                "share": 'sum(rate(vitrine_placement_items_total{source="exploration"}[5m]))'
                " / sum(rate(vitrine_placement_items_total[5m]))"
            },
            "percentunit",
        ),
        Panel(
            "Clicks on recommended items per page",
            {
                "{{action}}": "sum by (action) (rate(vitrine_attributed_actions_total[5m]))"
                " / scalar(sum(rate(vitrine_pages_total[5m])))"
            },
            "percentunit",
            about="Clicks, carts and purchases that carry the attribution token of one of our pages.",
        ),
        Panel(
            "Place on the page of what was clicked",
            _quantiles("vitrine_clicked_position", window="10m"),
            about="0 is the first place. Falling means that the order gets better.",
        ),
        Panel(
            "Attribution tokens that were not ours",
            {"tokens": "sum(rate(vitrine_foreign_attribution_tokens_total[5m]))"},
            about="Made up, cut off, or signed with another secret.",
        ),
    ),
)

_SPEND, _BUDGET = "vitrine_ad_spend_total", "max by (campaign) (vitrine_ad_budget)"
ADS = Dashboard(
    "vitrine-ads",
    "Vitrine: ads pacing",
    (
        Panel(
            "Pace: spending of the last hour, were it kept up all day, over the budget",
            {"{{campaign}}": f"sum by (campaign) (rate({_SPEND}[1h])) * 86400 / {_BUDGET}"},
            "percentunit",
            about="1 uses up the budget exactly; above it, a campaign that is paced evenly runs dry before the evening.",
            limit=1.0,
        ),
        Panel(
            "Spent in 24 hours over the budget",
            {"{{campaign}}": f"sum by (campaign) (increase({_SPEND}[1d])) / {_BUDGET}"},
            "percentunit",
            limit=1.0,
        ),
        Panel("Spending", {"{{campaign}}": f"sum by (campaign) (rate({_SPEND}[5m])) * 3600"}, "short", about="Per hour."),
        Panel("Daily budgets", {"{{campaign}}": _BUDGET}),
        Panel("Ads shown and clicked", {"{{event}}": "sum by (event) (rate(vitrine_ads_total[5m]))"}, "reqps"),
        Panel(
            "Clicks per ad shown",
            {
                "{{campaign}}": 'sum by (campaign) (rate(vitrine_ads_total{event="click"}[1h]))'
                ' / sum by (campaign) (rate(vitrine_ads_total{event="impression"}[1h]))'
            },
            "percentunit",
        ),
    ),
)

DASHBOARDS = (OVERVIEW, LATENCY, KAFKA, MODELS, QUALITY, ADS)


def queries() -> list[str]:
    """Every PromQL query of every dashboard."""
    return [query for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries.values()]


def main() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(text(dashboard))


if __name__ == "__main__":
    main()

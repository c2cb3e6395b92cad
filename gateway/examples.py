"""Sentences and examples of the OpenAPI description."""

from __future__ import annotations

from typing import Any

SUMMARIES = {
    ("POST", "/v1/events"): "One event or a batch of them",
    ("POST", "/v1/adapters/ga4/datalayer"): "Pushes of a GA4 dataLayer",
    ("POST", "/v1/adapters/ga4/mp"): "GA4 Measurement Protocol",
    ("POST", "/v1/adapters/segment"): "Segment or RudderStack calls",
    ("POST", "/v1/adapters/snowplow"): "Snowplow tracker payloads with e-commerce entities",
    ("POST", "/v1/adapters/retail"): "Google Retail user events",
    ("POST", "/v1/catalog"): "One catalogue item or a batch of them",
    ("POST", "/v1/images"): "A picture for a new product",
    ("GET", "/v1/pages/{visitor}"): "The visitor's newest page",
    ("GET", "/v1/pages/{visitor}/stream"): "The visitor's pages as they are made",
    ("DELETE", "/v1/visitors/{visitor}"): "Forget a visitor",
    ("GET", "/v1/items"): "Items by words of their title, category or ids",
    ("GET", "/v1/items/{item}"): "One item",
    ("DELETE", "/v1/items/{item}"): "Take an item out of the catalogue",
    ("GET", "/v1/items/{item}/status"): "Whether an item can be recommended yet",
    ("GET", "/v1/categories"): "Categories of the catalogue",
    ("GET", "/v1/ops/summary"): "Latencies, throughput and lag now",
    ("GET", "/v1/ops/series"): "The same over time",
    ("GET", "/v1/ops/health"): "Health of each part",
    ("GET", "/v1/ops/dead-letters"): "The newest dead letters",
    ("POST", "/v1/ops/dead-letters/{partition}/{offset}/replay"): "Send a dead letter again",
    ("GET", "/healthz"): "Whether events can be taken",
    ("GET", "/metrics"): "Metrics for Prometheus",
    ("GET", "/openapi.json"): "This description",
    ("GET", "/vitrine.js"): "The browser snippet",
}

_VIEW: dict[str, Any] = {
    "event_id": "0192f0c4-7a1e-7c3b-9a57-2f1f4b1f7f10",
    "event_name": "view_item",
    "event_time": 1_766_500_000_123,
    "sent_at": 1_766_500_000_140,
    "visitor_id": "v-81c2",
    "page": {"page_type": "product", "page_categories": ["Shoes > Running"]},
    "items": [{"item_id": "SKU_12345", "price": 89.9}],
    "currency": "EUR",
}
_SHOE: dict[str, Any] = {
    "item_id": "SKU_12345",
    "title": "Light running shoe",
    "categories": ["Shoes > Running"],
    "price": 89.9,
    "currency": "EUR",
    "images": [{"uri": "https://shop.example/pictures/12345.jpg"}],
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/events": {"one": _VIEW, "batch": [_VIEW, {**_VIEW, "event_id": "0192f0c4-7a1f", "event_name": "add_to_cart"}]},
    "/v1/catalog": {"one": _SHOE},
    "/v1/adapters/ga4/mp": {
        "add_to_cart": {
            "client_id": "1166583847.1766499000",
            "timestamp_micros": 1_766_500_000_123_000,
            "events": [
                {
                    "name": "add_to_cart",
                    "params": {"currency": "EUR", "value": 89.9, "items": [{"item_id": "SKU_12345", "price": 89.9}]},
                }
            ],
        }
    },
    "/v1/adapters/segment": {
        "product viewed": {
            "type": "track",
            "event": "Product Viewed",
            "messageId": "ajs-next-1766500000123-1",
            "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895",
            "originalTimestamp": "2025-12-23T14:26:40.123Z",
            "sentAt": "2025-12-23T14:26:40.140Z",
            "properties": {"product_id": "SKU_12345", "price": 89.9, "position": 3},
        }
    },
}

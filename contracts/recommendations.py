"""The refreshed page (`shop.page_recommendations.v1`)."""

from __future__ import annotations

from typing import Literal

import msgspec

from contracts.decoding import decode

PlacementKind = Literal["grid", "search", "ads", "copy", "video", "social", "reply"]
FallbackReason = Literal["triton_slow", "triton_timeout", "triton_down", "no_session", "cold_catalog"]


class ItemCopy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Personal text of an item."""

    headline: str
    locale: str | None = None


class ItemCampaign(msgspec.Struct, frozen=True):
    """Campaign that paid for the item's place."""

    campaign_id: str


class RecommendedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of a placement.

    `score` is a click probability in 0–1, `propensity` the probability (0–1) that this policy shows the item here,
    `shares` how much of the match came from text, image and behaviour (they add up to 1 where the model answered), `voices`
    how much of the score came from the session encoder, the neighbours, the trend and this visit (where several had a say).
    """

    item_id: str
    index: int
    score: float
    reason: tuple[str, ...]
    source: str
    propensity: float = 1.0
    shares: dict[str, float] = {}
    voices: dict[str, float] = {}
    promotion_name: str | None = None
    sponsored: ItemCampaign | None = None
    copy: ItemCopy | None = None


class Placement(msgspec.Struct, frozen=True):
    """One slot of the page; `item_list_id` is the placement id of GA4."""

    item_list_id: str
    item_list_name: str
    kind: PlacementKind
    items: tuple[RecommendedItem, ...]


class Model(msgspec.Struct, frozen=True):
    """Which model made the page."""

    name: str
    version: str


class Source(msgspec.Struct, frozen=True):
    """Place of the last folded event in `shop.events.v1`."""

    partition: int
    offset: int


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds per stage, cut from one monotonic trace.

    `event_to_emit` is `generated_time` minus the trigger's `received_at` (or the broker's record time).
    """

    queue: float
    fold: float
    rpc: float
    session_update: float
    retrieval: float
    inference: float
    rules: float
    event_to_emit: float


class PageRecommendation(msgspec.Struct, frozen=True):
    """A whole page for one visitor; same inputs and versions give the same bytes but for the times.

    The versions are those of the model, of the item index and, where the ranker learns from the stream, of what it has learned
    (`learned_version`, 0 for nothing).
    """

    recommendation_id: str
    attribution_token: str
    tenant_id: str
    visitor_id: str
    user_id: str | None
    session_id: str
    page_view_id: str | None
    page_type: str
    trigger_event_id: str
    trigger_event_time: int
    generated_time: int
    expire_time: int
    sequence: int
    source: Source
    index_version: int
    placements: tuple[Placement, ...]
    model: Model
    experiment_ids: tuple[str, ...]
    missing_ids: tuple[str, ...]
    degraded: bool
    fallback_reason: FallbackReason | None
    latency_ms: Latency
    learned_version: int = 0


TIME_FIELDS = ("generated_time", "expire_time", "latency_ms")

_DECODER = msgspec.json.Decoder(PageRecommendation)
_ENCODER = msgspec.json.Encoder()


def decode_page(value: bytes) -> PageRecommendation:
    """Decode one page.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_DECODER, value)


def encode_page(page: PageRecommendation) -> bytes:
    """UTF-8 JSON of one page."""
    return _ENCODER.encode(page)

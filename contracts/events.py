"""The clickstream event (`shop.events.v1`): GA4 names for events and items, Google Retail names for the envelope."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contracts.decoding import check_version, decode
from contracts.errors import InvalidField, NotFinite, OutOfRange

EventName = Literal[
    # GA4 recommended events
    "page_view", "view_item_list", "select_item", "view_item", "add_to_cart", "remove_from_cart", "add_to_wishlist",
    "view_cart", "begin_checkout", "add_shipping_info", "add_payment_info", "purchase", "refund", "view_promotion",
    "select_promotion", "search", "login",
    # ours
    "item_impression", "dismiss_item", "rate_item", "video_progress", "ad_impression", "ad_click", "support_message",
]  # fmt: skip
PageType = Literal["home", "category", "search", "product", "cart", "checkout", "content", "help"]

Id128 = Annotated[str, Meta(min_length=1, max_length=128)]
Id256 = Annotated[str, Meta(min_length=1, max_length=256)]
Short = Annotated[str, Meta(max_length=256)]
Uri = Annotated[str, Meta(max_length=2048)]
_YEAR_2100 = 4_102_444_800_000
Millis = Annotated[int, Meta(ge=0, le=_YEAR_2100)]
Money = Annotated[float, Meta(ge=0, le=1e9)]


class EventItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One product of an event; `price` is the unit price in the event's `currency`, `index` is 0-based."""

    item_id: Id256
    index: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    price: Money | None = None
    discount: Money | None = None
    coupon: Short | None = None
    item_variant: Short | None = None
    attribution_token: Annotated[str, Meta(max_length=512)] | None = None


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the visitor is: type of page, its address and the categories it shows (`A > B`)."""

    page_type: PageType = "home"
    uri: Uri | None = None
    referrer_uri: Uri | None = None
    page_categories: Annotated[tuple[Short, ...], Meta(max_length=16)] = ()


class Campaign(msgspec.Struct, frozen=True, omit_defaults=True):
    """Marketing campaign that brought the visitor."""

    source: Short | None = None
    medium: Short | None = None
    name: Short | None = None


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Device and place of the visitor, as far as the shop sends it."""

    device_type: Short | None = None
    locale: Short | None = None
    country: Short | None = None
    timezone: Short | None = None
    user_agent: Annotated[str, Meta(max_length=1024)] | None = None
    campaign: Campaign | None = None


class Consent(msgspec.Struct, frozen=True):
    """What the visitor allowed; `personalization` false means contextual pages only and nothing stored."""

    personalization: bool = True
    ads: bool = True


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a visitor did. Times are milliseconds since the epoch, UTC."""

    event_id: Id256
    event_name: EventName
    event_time: Millis | str
    visitor_id: Id128
    schema_version: Annotated[str, Meta(max_length=32)] = "1-0-0"
    tenant_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^|]*$")] = "default"
    sent_at: Millis | None = None
    received_at: Millis | None = None
    user_id: Id256 | None = None
    session_id: Id128 | None = None
    page_view_id: Id128 | None = None
    page: Page | None = None
    search_term: Annotated[str, Meta(max_length=5000)] | None = None
    item_list_id: Short | None = None
    item_list_name: Short | None = None
    items: Annotated[tuple[EventItem, ...], Meta(max_length=200)] = ()
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] | None = None
    value: Annotated[float, Meta(ge=-1e12, le=1e12)] | None = None
    transaction_id: Short | None = None
    tax: Money | None = None
    shipping: Money | None = None
    event_value: float | None = None
    attribution_token: Annotated[str, Meta(max_length=512)] | None = None
    experiment_ids: Annotated[tuple[Short, ...], Meta(max_length=32)] = ()
    context: Context | None = None
    consent: Consent | None = None
    properties: Annotated[dict[str, Annotated[str, Meta(max_length=1024)] | float | bool], Meta(max_length=27)] | UnsetType = (
        UNSET
    )

    @property
    def time(self) -> int:
        """`event_time` in milliseconds; a decoded event always holds an int."""
        return cast("int", self.event_time)


_DECODER = msgspec.json.Decoder(Event)
_ENCODER = msgspec.json.Encoder()


def _millis(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"$.event_time: {text[:64]!r} is neither integer milliseconds nor RFC 3339"
        raise InvalidField(message, path="$.event_time") from error
    if moment.tzinfo is None:
        message = f"$.event_time: {text[:64]!r} has no time zone, RFC 3339 wants one"
        raise InvalidField(message, path="$.event_time")
    millis = int(moment.timestamp() * 1000)
    if not 0 <= millis <= _YEAR_2100:
        message = f"$.event_time: {text[:64]!r} is outside the years 1970 to 2100"
        raise OutOfRange(message, path="$.event_time")
    return millis


def decode_event(value: bytes | None) -> Event:
    """Decode and check one event; the result's `event_time` is an int.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    event = decode(_DECODER, value)
    check_version(event.schema_version)
    if isinstance(event.event_time, str):
        event = msgspec.structs.replace(event, event_time=_millis(event.event_time))
    if event.event_value is not None and not math.isfinite(event.event_value):
        message = "$.event_value: expected a finite number"
        raise NotFinite(message, path="$.event_value")
    return event


def encode_event(event: Event) -> bytes:
    """UTF-8 JSON of one event, defaults left out."""
    return _ENCODER.encode(event)

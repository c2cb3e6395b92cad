"""Segment and RudderStack (and what speaks like them): track and page calls of the e-commerce specification, version 2.

Traps: `position` counts from 1. `price` is one unit, `value` of a product call and `total` of an order are totals, and
`total` includes tax and shipping while our `value` must not. `timestamp` of a library in the browser is already
corrected; `originalTimestamp` is not, and then `sentAt` tells the clock's error. A batch has one `sentAt` for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.events import Campaign, Context, Event, EventItem, EventName
from gateway.adapters.message import (
    Adapter,
    Json,
    Message,
    as_list,
    as_object,
    currency,
    from_one,
    made_id,
    moment,
    needed,
    number,
    text,
    whole,
)
from gateway.adapters.page import page_of

_EVENTS: dict[str, EventName] = {
    "product list viewed": "view_item_list",
    "product list filtered": "view_item_list",
    "product clicked": "select_item",
    "product viewed": "view_item",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "product added to wishlist": "add_to_wishlist",
    "cart viewed": "view_cart",
    "checkout started": "begin_checkout",
    "payment info entered": "add_payment_info",
    "checkout step completed": "add_shipping_info",
    "order completed": "purchase",
    "order refunded": "refund",
    "products searched": "search",
    "promotion viewed": "view_promotion",
    "promotion clicked": "select_promotion",
    "signed in": "login",
}
_OF_ONE_PRODUCT = frozenset({"select_item", "view_item", "add_to_cart", "remove_from_cart", "add_to_wishlist"})


def unpack(payload: Any) -> Sequence[tuple[str, Any, Json]]:
    """Calls: one, an array, or {"batch": [...], "sentAt": …}."""
    if isinstance(payload, Mapping) and "batch" in payload:
        envelope = {name: value for name, value in payload.items() if name != "batch"}
        calls = as_list(payload["batch"], "$.batch")
        return [(f"$.batch[{index}]", call, envelope) for index, call in enumerate(calls)]
    if isinstance(payload, list):
        return [(f"$[{index}]", call, {}) for index, call in enumerate(payload)]
    return [("$", payload, {})]


def adapt(message: Message) -> list[Event]:
    """One call; identify, group, alias, screen and events outside the specification give nothing."""
    kind = text(message.body, "type") or ("track" if "event" in message.body else "")
    if kind == "page":
        name: EventName = "page_view"
    elif kind == "track" and (text(message.body, "event") or "").casefold() in _EVENTS:
        name = _EVENTS[(text(message.body, "event") or "").casefold()]
    else:
        return []
    return [_event(message, name)]


def _event(message: Message, name: EventName) -> Event:
    body, path = message.body, message.path
    properties = as_object(body.get("properties"), f"{path}.properties")
    context = as_object(body.get("context") or message.envelope.get("context"), f"{path}.context")
    page = as_object(context.get("page"), f"{path}.context.page")
    visitor = needed(body, path, "anonymousId", "userId")
    time, sent_at = _times(message)
    category = text(properties, "category") if name in ("view_item_list", "view_item", "search") else None
    return Event(
        event_id=text(body, "messageId") or made_id(message, visitor, time),
        event_name=name,
        event_time=time,
        sent_at=sent_at,
        visitor_id=visitor,
        user_id=text(body, "userId"),
        session_id=text(context, "sessionId") or text(properties, "session_id"),
        page=page_of(
            name,
            text(page, "url") or text(properties, "url"),
            text(page, "referrer") or text(properties, "referrer"),
            [category],
        ),
        search_term=text(properties, "query"),
        item_list_id=text(properties, "list_id"),
        item_list_name=text(properties, "list") if name == "view_item_list" else None,
        items=_items(properties, f"{path}.properties", name),
        currency=currency(properties, "currency"),
        value=_value(properties, f"{path}.properties", name),
        transaction_id=text(properties, "order_id") if name in ("purchase", "refund") else None,
        tax=number(properties, f"{path}.properties", "tax"),
        shipping=number(properties, f"{path}.properties", "shipping"),
        attribution_token=text(properties, "attribution_token"),
        context=_context(context),
    )


def _times(message: Message) -> tuple[int, int | None]:
    """Event time, and when it was sent by the same clock (None where the time is corrected already)."""
    corrected = moment(message.body, message.path, "timestamp")
    if "receivedAt" in message.body and corrected is not None:  # it went through Segment's servers, which correct `timestamp`
        return corrected, None
    sent_at = moment(message.body, message.path, "sentAt")
    if sent_at is None:
        sent_at = moment(message.envelope, "$", "sentAt")
    original = moment(message.body, message.path, "originalTimestamp")
    if original is not None and sent_at is not None:
        return original, sent_at
    time = original if corrected is None else corrected
    return (message.received_at, None) if time is None else (time, sent_at)


def _items(properties: Json, path: str, name: EventName) -> tuple[EventItem, ...]:
    products = as_list(properties.get("products"), f"{path}.products")
    if products:
        return tuple(
            _item(as_object(product, f"{path}.products[{index}]"), f"{path}.products[{index}]")
            for index, product in enumerate(products)
        )
    if name in _OF_ONE_PRODUCT:
        return (_item(properties, path),)
    return ()


def _item(fields: Json, path: str) -> EventItem:
    quantity = whole(fields, path, "quantity")
    return EventItem(
        item_id=needed(fields, path, "product_id", "sku", "productId", "id"),
        index=from_one(whole(fields, path, "position")),
        quantity=1 if quantity is None else quantity,
        price=number(fields, path, "price"),
        coupon=text(fields, "coupon"),
        item_variant=text(fields, "variant"),
        attribution_token=text(fields, "attribution_token"),
    )


def _value(properties: Json, path: str, name: EventName) -> float | None:
    """Sum without tax and shipping: `revenue` or `subtotal` says it, `total` has both inside, `price` is one unit."""
    if name in ("purchase", "refund"):
        value = number(properties, path, "revenue", "subtotal")
        total = number(properties, path, "total")
        if value is not None or total is None:
            return value
        extra = (number(properties, path, "tax") or 0.0) + (number(properties, path, "shipping") or 0.0)
        return round(max(0.0, total - extra), 6)
    value = number(properties, path, "value")
    price = number(properties, path, "price")
    if value is None and price is not None and name in _OF_ONE_PRODUCT:
        quantity = whole(properties, path, "quantity")
        return round(price * (1 if quantity is None else quantity), 6)
    return value


def _context(context: Json) -> Context | None:
    device, campaign = context.get("device"), context.get("campaign")
    made = Context(
        device_type=text(device, "type") if isinstance(device, Mapping) else None,
        locale=text(context, "locale"),
        timezone=text(context, "timezone"),
        user_agent=(text(context, "userAgent") or "")[:1024] or None,
        campaign=Campaign(text(campaign, "source"), text(campaign, "medium"), text(campaign, "name"))
        if isinstance(campaign, Mapping) and campaign
        else None,
    )
    return made if made != Context() else None


SEGMENT = Adapter("segment", "segment", unpack, adapt)

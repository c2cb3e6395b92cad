"""Snowplow tracker payloads (tp2) with the self-describing e-commerce events and entities.

Traps: every value is text. The event (`ue_px`) and its entities (`cx`) are JSON in base64 for URLs without padding, or
plain (`ue_pr`, `co`). `position` counts from 1, `price` is one unit. `dtm` and `stm` come from the same wrong clock.
What was bought stands in product entities, the order in a transaction entity. `revenue` includes tax and shipping.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts.errors import InvalidField
from contracts.events import Context, Event, EventItem, EventName, Page, PageType
from gateway.adapters.message import (
    Adapter,
    Json,
    Message,
    as_list,
    as_object,
    category_path,
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

_ECOMMERCE = "com.snowplowanalytics.snowplow.ecommerce/"
_ACTION = "snowplow_ecommerce_action"
_ACTIONS: dict[str, EventName] = {
    "list_view": "view_item_list",
    "list_click": "select_item",
    "product_view": "view_item",
    "add_to_cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "promo_view": "view_promotion",
    "promo_click": "select_promotion",
    "checkout_step": "begin_checkout",
    "transaction": "purchase",
    "refund": "refund",
}
_PAGE_TYPES: dict[str, PageType] = {
    "home": "home",
    "homepage": "home",
    "category": "category",
    "product": "product",
    "search": "search",
    "cart": "cart",
    "checkout": "checkout",
    "help": "help",
    "support": "help",
    "content": "content",
    "blog": "content",
}


@dataclass(frozen=True, slots=True)
class _Entities:
    """The entities of an event by the name of their schema."""

    by_name: Mapping[str, Sequence[Json]]
    path: str

    def all(self, name: str) -> Sequence[Json]:
        return self.by_name.get(name, ())

    def first(self, name: str) -> Json:
        return next(iter(self.all(name)), {})


def unpack(payload: Any) -> Sequence[tuple[str, Any, Json]]:
    """Rows of a `payload_data` body, or one row, or an array of rows.

    Raises:
        InvalidField: if the schema is another than `payload_data`.
    """
    if isinstance(payload, Mapping) and "data" in payload:
        schema = str(payload.get("schema", ""))
        if "/payload_data/" not in schema:
            message = (
                f"$.schema: came {schema[:80]!r}, expected iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-x"
            )
            raise InvalidField(message, path="$.schema")
        rows = as_list(payload["data"], "$.data")
        return [(f"$.data[{index}]", row, {}) for index, row in enumerate(rows)]
    rows = payload if isinstance(payload, list) else [payload]
    return [(f"$[{index}]" if isinstance(payload, list) else "$", row, {}) for index, row in enumerate(rows)]


def _json(row: Json, path: str, encoded: str, plain: str) -> Json:
    """The self-describing JSON of a row, from its base64 or its plain field; {} for neither.

    Raises:
        InvalidField: if it cannot be read.
    """
    try:
        if row.get(encoded):
            characters = str(row[encoded]).encode("ascii")
            content = base64.urlsafe_b64decode(characters + b"=" * (-len(characters) % 4))
            return as_object(msgspec.json.decode(content), f"{path}.{encoded}")
        if isinstance(row.get(plain), str) and row[plain]:
            return as_object(msgspec.json.decode(row[plain]), f"{path}.{plain}")
    except (binascii.Error, ValueError, RecursionError) as error:
        where = f"{path}.{encoded if row.get(encoded) else plain}"
        message = f"{where}: expected self-describing JSON, in base64 for URLs or plain: {error}"
        raise InvalidField(message, path=where) from error
    return as_object(row.get(plain), f"{path}.{plain}")


def _entities(row: Json, path: str) -> _Entities:
    found: dict[str, list[Json]] = {}
    where = f"{path}.{'cx' if row.get('cx') else 'co'}"
    for index, entity in enumerate(as_list(_json(row, path, "cx", "co").get("data"), f"{where}.data")):
        fields = as_object(entity, f"{where}.data[{index}]")
        found.setdefault(_name_of(fields), []).append(as_object(fields.get("data"), f"{where}.data[{index}].data"))
    return _Entities(found, where)


def _name_of(self_describing: Json) -> str:
    """`product` out of `iglu:com.snowplowanalytics.snowplow.ecommerce/product/jsonschema/1-0-0`."""
    parts = str(self_describing.get("schema", "")).removeprefix("iglu:").split("/")
    return parts[1] if len(parts) > 1 else ""


def adapt(message: Message) -> list[Event]:
    """One row: page views and e-commerce actions; pings, structured and other events give nothing."""
    row, path = message.body, message.path
    kind = text(row, "e")
    if kind == "pv":
        return [_event(message, "page_view", {}, _entities(row, path))]
    if kind != "ue":
        return []
    outer = _json(row, path, "ue_px", "ue_pr")
    where = f"{path}.{'ue_px' if row.get('ue_px') else 'ue_pr'}"
    event = as_object(outer.get("data"), f"{where}.data")
    if _ECOMMERCE not in str(event.get("schema", "")) or _name_of(event) != _ACTION:
        return []
    action = as_object(event.get("data"), f"{where}.data.data")
    name = _ACTIONS.get(text(action, "type") or "")
    if name is None:
        return []
    entities = _entities(row, path)
    if name == "begin_checkout":
        name = _step(entities.first("checkout_step"))
    return [_event(message, name, action, entities)]


def _step(step: Json) -> EventName:
    """Which of GA4's steps a checkout step is, by what it says."""
    if text(step, "payment_method"):
        return "add_payment_info"
    if text(step, "delivery_method", "shipping_postcode", "shipping_full_address", "delivery_provider"):
        return "add_shipping_info"
    return "begin_checkout"


def _event(message: Message, name: EventName, action: Json, entities: _Entities) -> Event:
    row, path = message.body, message.path
    session = entities.first("client_session")
    transaction = entities.first("transaction") or entities.first("refund")
    true_time = moment(row, path, "ttm")
    time = true_time if true_time is not None else moment(row, path, "dtm")
    visitor = text(row, "duid", "nuid", "tnuid") or text(session, "userId") or needed(row, path, "duid", "nuid", "tnuid", "uid")
    items = _items(entities, name)
    return Event(
        event_id=text(row, "eid") or made_id(message, visitor, time if time is not None else message.received_at),
        event_name=name,
        event_time=time if time is not None else message.received_at,
        sent_at=moment(row, path, "stm") if true_time is None and time is not None else None,
        visitor_id=visitor,
        user_id=text(row, "uid") or text(entities.first("user"), "id"),
        session_id=text(row, "sid") or text(session, "sessionId"),
        page_view_id=text(entities.first("web_page"), "id"),
        page=_page(name, row, entities),
        item_list_id=text(action, "list_id"),
        item_list_name=text(action, "name"),
        items=items,
        currency=currency(transaction, "currency") or currency(entities.first("product"), "currency"),
        value=_value(transaction, entities, items, name),
        transaction_id=text(transaction, "transaction_id"),
        tax=number(transaction, entities.path, "tax"),
        shipping=number(transaction, entities.path, "shipping"),
        context=_context(row),
    )


def _items(entities: _Entities, name: EventName) -> tuple[EventItem, ...]:
    made = []
    for index, product in enumerate(entities.all("product")):
        where = f"{entities.path}.product[{index}]"
        quantity = whole(product, where, "quantity")
        price, listed = number(product, where, "price"), number(product, where, "list_price")
        made.append(
            EventItem(
                item_id=needed(product, where, "id"),
                index=from_one(whole(product, where, "position")),
                quantity=1 if quantity is None else quantity,
                price=price,
                discount=round(listed - price, 6) if listed is not None and price is not None and listed > price else None,
                item_variant=text(product, "variant"),
            )
        )
    if not made and name in ("view_promotion", "select_promotion"):
        promoted = entities.first("promotion").get("product_ids")
        made = [EventItem(item_id=str(identity)) for identity in promoted or () if str(identity).strip()]
    return tuple(made)


def _page(name: EventName, row: Json, entities: _Entities) -> Page | None:
    products = entities.all("product")
    of_products = products[:1] if name in ("view_item", "view_item_list") else ()
    categories = [text(product, "category") for product in of_products]
    page = page_of(name, text(row, "url"), text(row, "refr"), categories)
    declared = _PAGE_TYPES.get((text(entities.first("page"), "type") or "").casefold())
    if declared is None:
        return page
    paths = tuple(made for made in (category_path([category]) for category in categories) if made)
    return msgspec.structs.replace(page, page_type=declared) if page is not None else Page(declared, page_categories=paths)


def _value(transaction: Json, entities: _Entities, items: tuple[EventItem, ...], name: EventName) -> float | None:
    """Refunds: what was paid back. Purchases and carts: unit prices times quantities, else revenue less what is not ours."""
    path = entities.path
    if name == "refund":
        return number(transaction, path, "refund_amount", "revenue")
    if name in ("purchase", "add_to_cart", "remove_from_cart") and items and all(item.price is not None for item in items):
        return round(sum((item.price or 0.0) * item.quantity for item in items), 6)
    revenue = number(transaction, path, "revenue")
    if revenue is None:
        return number(entities.first("cart"), path, "total_value")
    extra = (number(transaction, path, "tax") or 0.0) + (number(transaction, path, "shipping") or 0.0)
    return round(max(0.0, revenue - extra), 6)


def _context(row: Json) -> Context | None:
    made = Context(
        device_type={"mob": "mobile", "pc": "desktop", "tv": "tv"}.get(text(row, "p") or ""),
        locale=text(row, "lang"),
        timezone=text(row, "tz"),
        user_agent=(text(row, "ua") or "")[:1024] or None,
    )
    return made if made != Context() else None


SNOWPLOW = Adapter("snowplow", "snowplow", unpack, adapt)

"""Google Retail user events (also Vertex AI Search for commerce): our envelope's names, other words for the events.

Traps: fields come in camelCase (JSON of the API) or snake_case (exports). `revenue` includes tax and shipping, our
`value` does not. `productDetails` has the order of the list, without a position. `priceInfo` may be of the product.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
    made_id,
    moment,
    needed,
    number,
    text,
    whole,
)

_EVENTS: dict[str, tuple[EventName, PageType]] = {
    "home-page-view": ("page_view", "home"),
    "category-page-view": ("view_item_list", "category"),
    "detail-page-view": ("view_item", "product"),
    "search": ("search", "search"),
    "add-to-cart": ("add_to_cart", "product"),
    "remove-from-cart": ("remove_from_cart", "cart"),
    "shopping-cart-page-view": ("view_cart", "cart"),
    "purchase-complete": ("purchase", "checkout"),
    "promotion-offered": ("view_promotion", "home"),
}
_LISTS = frozenset({"view_item_list", "search", "view_promotion"})
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def unpack(payload: Any) -> Sequence[tuple[str, Any, Json]]:
    """User events: one, an array, or the import body {"userEventInlineSource": {"userEvents": [...]}}."""
    if isinstance(payload, Mapping):
        source = payload.get("userEventInlineSource", payload.get("inputConfig"))
        if isinstance(source, Mapping):
            source = source.get("userEventInlineSource", source)
            events = as_list(source.get("userEvents"), "$.userEventInlineSource.userEvents")
            return [(f"$.userEventInlineSource.userEvents[{index}]", event, {}) for index, event in enumerate(events)]
        if "userEvents" in payload:
            events = as_list(payload["userEvents"], "$.userEvents")
            return [(f"$.userEvents[{index}]", event, {}) for index, event in enumerate(events)]
        return [("$", payload, {})]
    events = as_list(payload, "$")
    return [(f"$[{index}]", event, {}) for index, event in enumerate(events)]


def _snake(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_HUMP.sub(r"_\1", name).lower(): _snake(inner) for name, inner in value.items()}
    return [_snake(inner) for inner in value] if isinstance(value, list) else value


def adapt(message: Message) -> list[Event]:
    """One user event; `completion` (of a search box) gives nothing.

    Raises:
        InvalidField: for an event type that Retail does not have.
    """
    body, path = _snake(message.body), message.path
    kind = needed(body, path, "event_type")
    if kind == "completion":
        return []
    if kind not in _EVENTS:
        where = f"{path}.eventType"
        detail = f"{where}: came {kind[:40]!r}, expected one of {', '.join(_EVENTS)}"
        raise InvalidField(detail, path=where)
    return [_event(message, body, *_EVENTS[kind])]


def _event(message: Message, body: Json, name: EventName, page_type: PageType) -> Event:
    path = message.path
    user = as_object(body.get("user_info"), f"{path}.userInfo")
    purchase = as_object(body.get("purchase_transaction"), f"{path}.purchaseTransaction")
    visitor = needed(body, path, "visitor_id")
    time = moment(body, path, "event_time")
    items = _items(body, path, name)
    own_id = text(body, "event_id")
    return Event(
        event_id=own_id or made_id(message, visitor, time if time is not None else message.received_at),
        event_name=name,
        event_time=time if time is not None else message.received_at,
        visitor_id=visitor,
        user_id=text(user, "user_id"),
        session_id=text(body, "session_id"),
        page_view_id=text(body, "page_view_id"),
        page=_page(body, path, page_type),
        search_term=text(body, "search_query"),
        items=items,
        currency=currency(purchase, "currency_code") or _currency_of_items(body),
        value=_value(purchase, path, items, name),
        transaction_id=text(purchase, "id"),
        tax=number(purchase, f"{path}.purchaseTransaction", "tax"),
        attribution_token=(text(body, "attribution_token") or "")[:512] or None,
        experiment_ids=tuple(str(word)[:256] for word in as_list(body.get("experiment_ids"), f"{path}.experimentIds"))[:32],
        context=Context(user_agent=(text(user, "user_agent") or "")[:1024]) if text(user, "user_agent") else None,
    )


def _page(body: Json, path: str, page_type: PageType) -> Page:
    categories = as_list(body.get("page_categories"), f"{path}.pageCategories")
    paths = tuple(made for made in (category_path([str(category)]) for category in categories) if made)[:16]
    return Page(page_type, text(body, "uri"), text(body, "referrer_uri"), paths)


def _items(body: Json, path: str, name: EventName) -> tuple[EventItem, ...]:
    offset = whole(body, path, "offset") or 0
    made = []
    for index, detail in enumerate(as_list(body.get("product_details"), f"{path}.productDetails")):
        where = f"{path}.productDetails[{index}]"
        fields = as_object(detail, where)
        product = as_object(fields.get("product"), f"{where}.product")
        price = as_object(product.get("price_info"), f"{where}.product.priceInfo")
        quantity = whole(fields, where, "quantity")
        made.append(
            EventItem(
                item_id=_bare(needed(product, f"{where}.product", "id", "name")),
                index=offset + index if name in _LISTS else None,
                quantity=1 if quantity is None else quantity,
                price=number(price, f"{where}.product.priceInfo", "price"),
            )
        )
    return tuple(made)


def _bare(name: str) -> str:
    """The id out of a full resource name `projects/…/products/ID`."""
    return name.rpartition("/products/")[2]


def _currency_of_items(body: Json) -> str | None:
    for detail in body.get("product_details") or ():
        price = detail.get("product", {}).get("price_info") if isinstance(detail, Mapping) else None
        if isinstance(price, Mapping):
            return currency(price, "currency_code")
    return None


def _value(purchase: Json, path: str, items: tuple[EventItem, ...], name: EventName) -> float | None:
    """Sum of the products where their prices are known; else `revenue` less tax; both without shipping as far as known."""
    if name in ("purchase", "add_to_cart", "view_cart") and items and all(item.price is not None for item in items):
        return round(sum((item.price or 0.0) * item.quantity for item in items), 6)
    revenue = number(purchase, f"{path}.purchaseTransaction", "revenue")
    if revenue is None:
        return None
    tax = number(purchase, f"{path}.purchaseTransaction", "tax") or 0.0
    return round(max(0.0, revenue - tax), 6)


RETAIL = Adapter("retail", "retail", unpack, adapt)

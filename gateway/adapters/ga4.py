"""GA4: pushes of a dataLayer, and the Measurement Protocol. Its names are ours; envelope, ids and times are not.

Traps: `index` counts from 0 already. `value` is the event's total, `price` one unit. A dataLayer never names its
visitor, and JSON.stringify turns gtag's arguments into {"0": "event", "1": name, "2": parameters}. A push may reset
`ecommerce` to null. The Measurement Protocol has microseconds, and one time for all its events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from contracts.errors import InvalidField
from contracts.events import Consent, Event, EventItem, EventName, Page
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
from gateway.adapters.page import page_of

_NAMES = frozenset(get_args(EventName))
_ALIASES = {"view_search_results": "search", "sign_up": "login"}
_VISITOR = ("client_id", "visitor_id", "user_pseudo_id", "cid")


# ---- dataLayer


def unpack_datalayer(payload: Any) -> Sequence[tuple[str, Any, Json]]:
    """Pushes: one, an array of them, or {"dataLayer": [...], "client_id": …} with what the pushes do not say."""
    if isinstance(payload, Mapping) and "dataLayer" in payload:
        envelope = {name: value for name, value in payload.items() if name != "dataLayer"}
        pushes = as_list(payload["dataLayer"], "$.dataLayer")
        return [(f"$.dataLayer[{index}]", _arguments(push), envelope) for index, push in enumerate(pushes)]
    if isinstance(payload, list) and not (payload and payload[0] == "event"):
        return [(f"$[{index}]", _arguments(push), {}) for index, push in enumerate(payload)]
    return [("$", _arguments(payload), {})]


def _arguments(push: Any) -> Any:
    """gtag("event", name, parameters), however it was serialised, as an ordinary push."""
    if isinstance(push, Mapping) and push.get("0") is not None:
        push = [push.get("0"), push.get("1"), push.get("2")]
    if isinstance(push, list):
        if not push or push[0] != "event" or len(push) < 2:
            return {}  # gtag("js", …), gtag("config", …), gtag("consent", …) say nothing about items
        parameters = push[2] if len(push) > 2 and isinstance(push[2], Mapping) else {}
        return {**parameters, "event": push[1]}
    return push


def adapt_datalayer(message: Message) -> list[Event]:
    """One push; pushes that are no event of ours give nothing."""
    name = str(message.body.get("event"))
    name = _ALIASES.get(name, name)
    if name not in _NAMES:
        return []
    ecommerce = as_object(message.body.get("ecommerce"), f"{message.path}.ecommerce")
    parameters = {**message.envelope, **message.body, **ecommerce}
    path = f"{message.path}.ecommerce" if ecommerce else message.path
    who = {**message.query, **message.envelope, **message.body}
    time = moment(who, message.path, "event_time", "timestamp", "timestamp_micros", "time")
    tag_number = text(message.body, "gtm.uniqueEventId")
    return [_event(message, name, parameters, path, _Who(who, message.path, time, tag_number))]


# ---- Measurement Protocol


def unpack_mp(payload: Any) -> Sequence[tuple[str, Any, Json]]:
    """The events of one or several Measurement Protocol bodies.

    Raises:
        InvalidField: if a body has no `events`.
    """
    bodies = payload if isinstance(payload, list) else [payload]
    messages: list[tuple[str, Any, Json]] = []
    for number_of_body, body in enumerate(bodies):
        path = f"$[{number_of_body}]" if isinstance(payload, list) else "$"
        body_object = as_object(body, path)
        if not isinstance(body_object.get("events"), list):
            where = f"{path}.events"
            message = f"{where}: came {type(body_object.get('events')).__name__}, expected an array of events"
            raise InvalidField(message, path=where)
        envelope = {name: value for name, value in body_object.items() if name != "events"}
        messages += [(f"{path}.events[{index}]", event, envelope) for index, event in enumerate(body_object["events"])]
    return messages


def adapt_mp(message: Message) -> list[Event]:
    """One event of a body; the others of the world (scroll, session_start, …) give nothing."""
    name = needed(message.body, message.path, "name")
    name = _ALIASES.get(name, name)
    if name not in _NAMES:
        return []
    parameters = as_object(message.body.get("params"), f"{message.path}.params")
    who = {**message.query, **message.envelope}
    time = moment(message.body, message.path, "timestamp_micros")
    if time is None:
        time = moment(message.envelope, "$", "timestamp_micros")
    return [_event(message, name, parameters, f"{message.path}.params", _Who(who, "$", time, None))]


# ---- both


@dataclass(frozen=True, slots=True)
class _Who:
    """Where an event's visitor is said (and the path of that, for errors), its time, its number on the page."""

    fields: Json
    path: str
    time: int | None
    sequence: str | None


def _event(message: Message, name: str, parameters: Json, path: str, who: _Who) -> Event:
    visitor = needed(who.fields, who.path, *_VISITOR)
    session = text(parameters, "session_id", "ga_session_id") or text(who.fields, "session_id", "ga_session_id")
    items = as_list(parameters.get("items"), f"{path}.items")
    list_id = text(parameters, "item_list_id")
    if list_id is None and items and isinstance(items[0], Mapping):
        list_id = text(items[0], "item_list_id")
    own_id = text(parameters, "event_id") or text(message.body, "event_id")
    made = made_id(message, visitor, who.time if who.time is not None else message.received_at, who.sequence)
    return Event(
        event_id=own_id or made,
        event_name=cast("EventName", name),
        event_time=who.time if who.time is not None else message.received_at,
        visitor_id=visitor,
        user_id=text(who.fields, "user_id"),
        session_id=session,
        page=_page(name, parameters),
        search_term=text(parameters, "search_term"),
        item_list_id=list_id,
        item_list_name=text(parameters, "item_list_name"),
        items=tuple(_item(item, f"{path}.items[{index}]") for index, item in enumerate(items)),
        currency=currency(parameters, "currency"),
        value=number(parameters, path, "value"),
        transaction_id=text(parameters, "transaction_id"),
        tax=number(parameters, path, "tax"),
        shipping=number(parameters, path, "shipping"),
        attribution_token=text(parameters, "attribution_token"),
        consent=_consent(who.fields),
    )


def _page(name: str, parameters: Json) -> Page | None:
    categories = [parameters.get("page_category")]
    items = parameters.get("items")
    if name in ("view_item", "view_item_list") and isinstance(items, list) and items and isinstance(items[0], Mapping):
        levels = ["item_category", "item_category2", "item_category3", "item_category4", "item_category5"]
        categories = [category_path([text(items[0], level) for level in levels])]
    return page_of(name, text(parameters, "page_location"), text(parameters, "page_referrer"), categories)


def _item(item: Any, path: str) -> EventItem:
    fields = as_object(item, path)
    return EventItem(
        item_id=needed(fields, path, "item_id", "id", "item_name"),
        index=whole(fields, path, "index"),
        quantity=_quantity(fields, path),
        price=number(fields, path, "price"),
        discount=number(fields, path, "discount"),
        coupon=text(fields, "coupon"),
        item_variant=text(fields, "item_variant"),
        attribution_token=text(fields, "attribution_token"),
    )


def _quantity(fields: Json, path: str) -> int:
    quantity = whole(fields, path, "quantity")
    return 1 if quantity is None else quantity


def _consent(fields: Json) -> Consent | None:
    """Consent mode v2: `ad_personalization` and `ad_user_data` are GRANTED or DENIED."""
    consent = fields.get("consent")
    if not isinstance(consent, Mapping):
        return None
    granted = {name: str(consent.get(name, "GRANTED")).upper() != "DENIED" for name in ("ad_personalization", "ad_user_data")}
    return Consent(personalization=granted["ad_personalization"], ads=granted["ad_user_data"])


DATALAYER = Adapter("ga4_datalayer", "ga4/datalayer", unpack_datalayer, adapt_datalayer)
MEASUREMENT_PROTOCOL = Adapter("ga4_mp", "ga4/mp", unpack_mp, adapt_mp)

"""From the bytes of a request to records for the broker, without input or output.

The clocks of visitors are wrong by minutes, so a client may say when it sent: the difference between `sent_at` and
`received_at` is its clock's error (and the way), and `event_time` is moved by it, as Segment does.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.catalog import CatalogItem, decode_item
from contracts.catalog import encode as encode_item
from contracts.errors import ContractError, InvalidField
from contracts.events import Event, decode_event, encode_event
from contracts.keys import message_key
from gateway.problem import Problem, of_contract

_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_WHITESPACE = b" \t\r\n"


class _Events(msgspec.Struct):
    """Body of the form {"events": [...]}: an event itself has no such field."""

    messages: list[msgspec.Raw] | None = msgspec.field(default=None, name="events")


class _Items(msgspec.Struct):
    """Body of the form {"items": [...]}: a catalogue item itself has no such field."""

    messages: list[msgspec.Raw] | None = msgspec.field(default=None, name="items")


_EVENTS = (b'"events"', msgspec.json.Decoder(_Events))
_ITEMS = (b'"items"', msgspec.json.Decoder(_Items))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record for the broker; `value` None is a tombstone."""

    key: bytes
    value: bytes | None


@dataclass(slots=True)
class Parsed:
    """What became of a body: records in the order they came, problems by index, ids of what is accepted."""

    records: list[Outgoing] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    is_batch: bool = False

    @property
    def count(self) -> int:
        """Messages that the body held."""
        return len(self.records) + len(self.problems)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo gzip (or zlib) without ever holding more than `limit` bytes.

    Raises:
        Problem: 413 for more than `limit`, 400 for what is no gzip, 415 for another encoding.
    """
    if encoding not in ("gzip", "deflate"):
        detail = f"content-encoding is {encoding!r}, expected gzip, deflate or none"
        raise Problem(415, "unknown-encoding", "The content encoding is not known", detail)
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        detail = f"content-encoding says gzip, the body is not: {error}"
        raise Problem(400, "bad-encoding", "The body cannot be unpacked", detail) from error
    if len(plain) > limit:
        raise too_large(limit)
    if not inflater.eof:
        detail = "the gzip body ends too early"
        raise Problem(400, "bad-encoding", "The body cannot be unpacked", detail)
    return plain


def too_large(limit: int) -> Problem:
    """413, naming the limit."""
    return Problem(
        413, "body-too-large", "The body is too large", f"at most {limit} bytes are taken, unpacked too", extra={"limit": limit}
    )


def split(
    body: bytes, batch_max: int, envelope: tuple[bytes, msgspec.json.Decoder[Any]] = _EVENTS
) -> tuple[list[msgspec.Raw], bool]:
    """The messages of a body and whether they are a batch: one object, an array, or an object that holds an array.

    Args:
        body: unpacked bytes.
        batch_max: most messages.
        envelope: the field of such an object, in quotes, and what decodes it.

    Raises:
        Problem: 400 for what is no JSON object or array, 413 for too many messages.
    """
    start = body.lstrip(_WHITESPACE)[:1]
    try:
        if start == b"[":
            messages, is_batch = _RAW_LIST.decode(body), True
        elif start == b"{":
            word, decoder = envelope
            held = decoder.decode(body).messages if word in body else None
            messages, is_batch = ([msgspec.Raw(body)], False) if held is None else (held, True)
        else:
            detail = f"the body starts with {start.decode('latin-1')!r}, expected a JSON object or an array of objects"
            raise Problem(400, "malformed", "The body is not JSON of the expected form", detail)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"the body is not UTF-8 JSON: {error}"
        raise Problem(400, "malformed", "The body is not JSON of the expected form", detail) from error
    if len(messages) > batch_max:
        detail = f"the batch has {len(messages)} messages, at most {batch_max} are taken"
        raise Problem(413, "batch-too-large", "The batch is too large", detail, extra={"limit": batch_max})
    return messages, is_batch


def stamp(event: Event, received_at: int, tenant_id: str, *, is_tenant_fixed: bool) -> Event:
    """Set `received_at`, the tenant, and `event_time` corrected by the client's clock error; never in the future.

    Raises:
        InvalidField: the event names another tenant than its key.
    """
    time = event.time if event.sent_at is None else received_at - (event.sent_at - event.time)
    time = max(0, min(time, received_at))
    tenant = event.tenant_id
    if is_tenant_fixed and tenant != tenant_id:
        if tenant != "default":
            message = f"$.tenant_id: {tenant!r} is not the tenant of the API key, leave the field out"
            raise InvalidField(message, path="$.tenant_id")
        tenant = tenant_id
    return msgspec.structs.replace(event, event_time=time, received_at=received_at, tenant_id=tenant)


def _collect(messages: Sequence[Any], is_batch: bool, one: Callable[[Any], tuple[Outgoing, str]]) -> Parsed:
    parsed = Parsed(is_batch=is_batch)
    for index, message in enumerate(messages):
        try:
            record, identity = one(message)
        except ContractError as error:
            problem = of_contract(error, pointer=f"$[{index}]" if is_batch else None)
            parsed.problems.append({"index": index, **problem})
        else:
            parsed.records.append(record)
            parsed.ids.append(identity)
    return parsed


def event_record(event: Event) -> Outgoing:
    """The record of a stamped event."""
    return Outgoing(message_key(event.tenant_id, event.visitor_id), encode_event(event))


def parse_events(body: bytes, *, batch_max: int, received_at: int, tenant_id: str, is_tenant_fixed: bool) -> Parsed:
    """Decode, stamp and encode the events of a body.

    Args:
        body: unpacked bytes.
        batch_max: most events.
        received_at: now, ms.
        tenant_id: tenant of the caller.
        is_tenant_fixed: whether the caller's key binds it to that tenant.

    Raises:
        Problem: if the body as a whole cannot be read.
    """

    def one(raw: msgspec.Raw) -> tuple[Outgoing, str]:
        event = decode_event(bytes(raw))
        if not is_tenant_fixed and event.tenant_id == "default":
            event = msgspec.structs.replace(event, tenant_id=tenant_id)
        event = stamp(event, received_at, tenant_id, is_tenant_fixed=is_tenant_fixed)
        return event_record(event), event.event_id

    return _collect(*split(body, batch_max), one)


def parse_items(body: bytes, *, batch_max: int, received_at: int, tenant_id: str, is_tenant_fixed: bool) -> Parsed:
    """Decode and encode the catalogue items of a body; arguments as for :func:`parse_events`.

    Raises:
        Problem: if the body as a whole cannot be read.
    """

    def one(raw: msgspec.Raw) -> tuple[Outgoing, str]:
        item = decode_item(bytes(raw))
        check_item_id(item.item_id)
        tenant = item.tenant_id
        if tenant != tenant_id:
            if is_tenant_fixed and tenant != "default":
                message = f"$.tenant_id: {tenant!r} is not the tenant of the API key, leave the field out"
                raise InvalidField(message, path="$.tenant_id")
            tenant = tenant_id if tenant == "default" else tenant
        item = _dated(msgspec.structs.replace(item, tenant_id=tenant), received_at)
        return Outgoing(message_key(item.tenant_id, item.item_id), encode_item(item)), item.item_id

    return _collect(*split(body, batch_max, _ITEMS), one)


def _dated(item: CatalogItem, received_at: int) -> CatalogItem:
    return item if item.updated_time is not None else msgspec.structs.replace(item, updated_time=received_at)


def check_item_id(item_id: str) -> None:
    """An id has no control characters, since it ends up in addresses and pages.

    Raises:
        InvalidField: if it has.
    """
    if not item_id.isprintable():
        message = "$.item_id: expected printable characters only"
        raise InvalidField(message, path="$.item_id")

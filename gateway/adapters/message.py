"""What the adapters share: the words for a payload, its messages, and careful reading of fields.

Each format is two pure functions: `unpack` takes a payload apart into messages (a Segment batch, Snowplow's rows), and
`adapt` turns one message into events: none for something that Vitrine has no use for, such as `identify`.
Numbers come as text as often as not, so the readers here take both, and name the field when neither fits.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from contracts.errors import InvalidField
from contracts.events import Event

_NAMESPACE = uuid.UUID("6f0c9d1e-0d5a-5d0b-9a41-7f3f2f0a8a11")
_FARTHEST = 2.0**62
"""No time in any unit is farther from 1970, and an int64 holds it."""
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a payload.

    Attributes:
        body: the message as it came.
        envelope: what the payload says for all of its messages.
        path: JSON path of the message in the payload, for errors.
        received_at: when the gateway got it, ms.
        query: query parameters of the request.
    """

    body: Json
    envelope: Json
    path: str
    received_at: int
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One foreign format.

    Attributes:
        name: label of the format in metrics.
        path: address below `/v1/adapters/`.
        unpack: payload to (path, message body, envelope).
        adapt: message to events.
    """

    name: str
    path: str
    unpack: Callable[[Any], Sequence[tuple[str, Any, Json]]]
    adapt: Callable[[Message], list[Event]]


def as_object(value: Any, path: str) -> Json:
    """A JSON object; {} for null.

    Raises:
        InvalidField: if it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = f"{path}: came {type(value).__name__}, expected an object"
        raise InvalidField(message, path=path)
    return value


def as_list(value: Any, path: str) -> Sequence[Any]:
    """A JSON array; empty for null.

    Raises:
        InvalidField: if it is something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        message = f"{path}: came {type(value).__name__}, expected an array"
        raise InvalidField(message, path=path)
    return value


def text(body: Json, *names: str) -> str | None:
    """The first of the fields that holds a text or a number, as text; None if none does."""
    for name in names:
        value = body.get(name)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, (str, int, float)) and str(value).strip():
            return str(value).strip()
    return None


def needed(body: Json, path: str, *names: str) -> str:
    """As :func:`text`.

    Raises:
        InvalidField: if none of the fields holds one.
    """
    value = text(body, *names)
    if value is None:
        where = f"{path}.{names[0]}"
        message = f"{where}: missing, expected a text{_or(names)}"
        raise InvalidField(message, path=where)
    return value


def _or(names: Sequence[str]) -> str:
    return f" (or one of {', '.join(names[1:])})" if len(names) > 1 else ""


def number(body: Json, path: str, *names: str) -> float | None:
    """The first of the fields that is there, as a finite number; None if none is.

    Raises:
        InvalidField: if it is there and no number.
    """
    for name in names:
        value = body.get(name)
        if value is None or value == "":
            continue
        try:
            result = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            result = math.nan
        if not math.isfinite(result):
            where = f"{path}.{name}"
            message = f"{where}: came {str(value)[:40]!r}, expected a number"
            raise InvalidField(message, path=where)
        return result
    return None


def whole(body: Json, path: str, *names: str) -> int | None:
    """As :func:`number`, as a whole one.

    Raises:
        InvalidField: if it is there and no whole number.
    """
    value = number(body, path, *names)
    if value is None:
        return None
    if not value.is_integer():
        where = f"{path}.{names[0]}"
        message = f"{where}: came {value}, expected a whole number"
        raise InvalidField(message, path=where)
    return int(value)


def from_one(position: int | None) -> int | None:
    """A 1-based position as our 0-based index; a 0 of a sender that counts from 0 all the same stays 0."""
    return None if position is None else max(0, position - 1)


def moment(body: Json, path: str, *names: str) -> int | None:
    """The first of the fields that is there, in ms: RFC 3339 text, or epoch in s, ms or µs by its size.

    Raises:
        InvalidField: if it is there and no time.
    """
    for name in names:
        value = body.get(name)
        if value is None or value == "":
            continue
        where = f"{path}.{name}"
        if isinstance(value, str) and not value.strip().lstrip("-").isdecimal():
            return _of_text(value.strip(), where)
        seconds = number(body, path, name)
        return None if seconds is None else _of_epoch(seconds, where)
    return None


def _of_text(value: str, where: str) -> int:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        message = f"{where}: came {value[:40]!r}, expected RFC 3339"
        raise InvalidField(message, path=where) from error
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)  # trackers that leave the zone out mean UTC
    return int(parsed.timestamp() * 1000)


def _of_epoch(value: float, where: str) -> int:
    if abs(value) > _FARTHEST:
        message = f"{where}: came {value:g}, expected seconds, milliseconds or microseconds since 1970"
        raise InvalidField(message, path=where)
    if value > 1e14:  # microseconds, as the Measurement Protocol and gtag have them
        return int(value / 1000)
    return int(value) if value > 1e11 else int(value * 1000)


def made_id(message: Message, *parts: object) -> str:
    """An event id for a format without one: the same message gives the same id, so a retry is known as one.

    A message without any time of its own cannot be told from a repeat of it; then the time of arrival counts too.
    """
    encoded = msgspec.json.encode([message.path, message.body, [str(part) for part in parts]], order="deterministic")
    return str(uuid.uuid5(_NAMESPACE, encoded.decode()))


def currency(body: Json, *names: str) -> str | None:
    """ISO 4217 code in capitals, None for what is none."""
    value = text(body, *names)
    return value.upper() if value is not None and len(value) == 3 and value.isalpha() and value.isascii() else None


def category_path(parts: Sequence[str | None]) -> str | None:
    """`A > B` out of levels; levels may be paths themselves with `/` or `>` between."""
    levels: list[str] = []
    for part in parts:
        for level in (part or "").replace("/", ">").split(">"):
            if level.strip() and level.strip() not in levels:
                levels.append(level.strip())
    return " > ".join(levels)[:256] or None

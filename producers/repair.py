"""Changing a few fields of a broken event before it is sent again; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from contracts.errors import InvalidField, MalformedEvent

_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")


def repaired(value: bytes, changes: Sequence[str]) -> bytes:
    """Apply `path=json` changes, such as `items[0].price=9.99` or `event_name="view_item"`, to a JSON object.

    A right side that is no JSON is taken as text. The event id stays, so a repaired event that was counted after all is
    recognised as a duplicate.

    Raises:
        MalformedEvent: if the value is no JSON object; there is nothing to change then.
        InvalidField: if a change has no `=`, or its path leads nowhere.
    """
    if not changes:
        return value
    try:
        event = json.loads(value)
    except ValueError as error:
        message = f"the value is not JSON and cannot be changed field by field: {error}"
        raise MalformedEvent(message) from error
    for change in changes:
        path, separator, text = change.partition("=")
        if not separator:
            message = f"{change!r} has no '=', expected path=value such as items[0].price=9.99"
            raise InvalidField(message, path=path)
        _assign(event, path, _value(text))
    return json.dumps(event, ensure_ascii=False).encode()


def with_event_id(value: bytes, event_id: str) -> bytes:
    """The event with this id if it is a JSON object that has none; else as it is."""
    try:
        event = json.loads(value)
    except ValueError:
        return value
    if not isinstance(event, dict) or event.get("event_id") is not None:
        return value
    return json.dumps(event | {"event_id": event_id}, ensure_ascii=False).encode()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _assign(event: Any, path: str, value: Any) -> None:
    steps: list[str | int] = [int(index) if index else name for name, index in _STEP.findall(path.removeprefix("$"))]
    place = event
    try:
        for step in steps[:-1]:
            place = place[step]
        place[steps[-1]] = value
    except (KeyError, IndexError, TypeError) as error:
        message = f"the event has nothing at {path!r}"
        raise InvalidField(message, path=path) from error

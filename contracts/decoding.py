"""The one place where msgspec's errors become ours, with the path of the field at fault."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from contracts.errors import (
    ContractError,
    InvalidField,
    MalformedEvent,
    NestedTooDeep,
    NotFinite,
    OutOfLength,
    OutOfRange,
    OversizedMessage,
    UnknownVersion,
)

T = TypeVar("T")

MAX_MESSAGE_BYTES = 262_144
MAX_DEPTH = 16
_AT_PATH = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>[^`]+)`)?$", re.DOTALL)

_BOUND = re.compile(r"^Expected `[^`]+` (?:>=|<=|>|<) ")
# A text that is not closed reaches to the end; so every quote is looked at once, whatever comes.
_TEXT = re.compile(rb'"(?:\\.|[^"\\])*+(?:"|\\?\Z)', re.DOTALL)
_NOT_FINITE = re.compile(rb"[:\[,]\s*[-+]?(?:NaN|Infinity|inf|nan)\b")


def check_version(schema_version: str, major: str = "1") -> None:
    """Accept every SchemaVer (`MODEL-REVISION-ADDITION`) of the given model.

    Raises:
        UnknownVersion: for another major or a text that is no SchemaVer.
    """
    parts = schema_version.split("-")
    if len(parts) != 3 or parts[0] != major:
        message = f"schema_version is {schema_version!r}, expected '{major}-x-y'"
        raise UnknownVersion(message, path="$.schema_version")


def _too_deep(value: bytes) -> bool:
    # Counting brackets over-counts those inside strings; a false alarm needs 17 of them unbalanced in one text.
    depth = deepest = 0
    in_string = escaped = False
    for byte in value:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return deepest > MAX_DEPTH


def decode(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T:
    """Decode one Kafka value.

    Raises:
        OversizedMessage: more than `MAX_MESSAGE_BYTES`.
        NestedTooDeep: nested deeper than `MAX_DEPTH`.
        MalformedEvent: empty, not UTF-8, not JSON.
        NotFinite: JSON but for a NaN or an infinity.
        OutOfLength, OutOfRange: a value beyond its bounds; `path` names the field.
        InvalidField: JSON of another wrong shape; `path` names the field.
    """
    if not value:
        message = "the value is empty, expected a JSON object"
        raise MalformedEvent(message)
    if len(value) > MAX_MESSAGE_BYTES:
        message = f"the value has {len(value)} bytes, the limit is {MAX_MESSAGE_BYTES}"
        raise OversizedMessage(message)
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH and _too_deep(value):
        message = f"the value is nested deeper than {MAX_DEPTH} levels"
        raise NestedTooDeep(message)
    try:
        return decoder.decode(value)
    except ContractError:
        raise
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _NOT_FINITE.search(value) and _NOT_FINITE.search(_TEXT.sub(b'""', value)):
            message = f"the value holds NaN or an infinity, which JSON does not know: {error}"
            raise NotFinite(message) from error
        message = f"the value is not UTF-8 JSON: {error}"
        raise MalformedEvent(message) from error


def _invalid(said: str) -> InvalidField:
    """What msgspec said as the error of the tree that they mean."""
    match = _AT_PATH.match(said)
    path = match["path"] if match and match["path"] else "$"
    text = match["message"] if match else said
    missing = re.search(r"missing required field `(\w+)`", text)
    if missing:
        path = f"{path}.{missing[1]}"
    kind = InvalidField
    if " of length " in text:
        kind = OutOfLength
    elif _BOUND.search(text) or text == "Number out of range":
        kind = OutOfRange
    return kind(f"{path}: {text}", path=path)

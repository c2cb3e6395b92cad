"""Foreign payloads to records: unpacked, adapted, stamped and checked as if they had come as our own events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from contracts.errors import ContractError, InvalidField
from contracts.events import Event, decode_event
from gateway.adapters.message import Adapter, Message, as_object
from gateway.ingest import Outgoing, Parsed, event_record, stamp
from gateway.problem import Problem, of_contract

# What a payload of a form that an adapter does not expect may raise in it: the sender is told, and nothing ends.
_UNEXPECTED = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


def parse_foreign(
    body: bytes, adapter: Adapter, *, query: Mapping[str, str], received_at: int, tenant_id: str, batch_max: int
) -> tuple[Parsed, int]:
    """Translate one payload; what came of it, and how many messages Vitrine has no use for.

    Args:
        body: unpacked bytes, JSON.
        adapter: the format.
        query: query parameters, where some formats carry the visitor.
        received_at: now, ms.
        tenant_id: tenant of the caller.
        batch_max: most events.

    Raises:
        Problem: 400 if the body is not JSON, 422 if it is not of the format at all, 413 for too many events.
    """
    messages = _unpacked(body, adapter)
    if len(messages) > batch_max:
        detail = f"the payload has {len(messages)} messages, at most {batch_max} are taken"
        raise Problem(413, "batch-too-large", "The batch is too large", detail, extra={"limit": batch_max})
    parsed, ignored = Parsed(is_batch=len(messages) > 1), 0
    for index, (path, content, envelope) in enumerate(messages):
        try:
            events = _adapted(adapter, Message(as_object(content, path), envelope, path, received_at, query))
            records = [_checked(event, received_at, tenant_id, path) for event in events]
        except ContractError as error:
            parsed.problems.append({"index": index, **of_contract(error)})
        else:
            ignored += not records
            parsed.records.extend(record for record, _ in records)
            parsed.ids.extend(identity for _, identity in records)
    return parsed, ignored


def _unpacked(body: bytes, adapter: Adapter) -> Sequence[tuple[str, Any, Mapping[str, Any]]]:
    """The messages of a payload: path, content, envelope.

    Raises:
        Problem: 400 if the body is not JSON, 422 if it is not of the format at all.
    """
    try:
        return adapter.unpack(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"the body is not UTF-8 JSON: {error}"
        raise Problem(400, "malformed", "The body is not JSON of the expected form", detail) from error
    except ContractError as error:
        problem = of_contract(error)
        extra = {"field": problem["field"]}
        raise Problem(422, error.code.replace("_", "-"), problem["title"], problem["detail"], extra=extra) from error
    except _UNEXPECTED as error:
        detail = f"the body cannot be read as {adapter.name}: {error}"
        raise Problem(422, "invalid-field", "The body is not of the format", detail) from error


def _adapted(adapter: Adapter, message: Message) -> Sequence[Event]:
    """The events of one message.

    Raises:
        ContractError: it breaks the format; the others of its batch are taken all the same.
    """
    try:
        return adapter.adapt(message)
    except _UNEXPECTED as error:
        words = f"{message.path}: cannot be read as {adapter.name}: {error}"
        raise InvalidField(words, path=message.path) from error


def _checked(event: Event, received_at: int, tenant_id: str, path: str) -> tuple[Outgoing, str]:
    """The record of an adapted event, after the same checks that the worker makes.

    Raises:
        ContractError: if a value of the payload breaks our contract, e.g. a visitor id that is too long.
    """
    event = stamp(msgspec.structs.replace(event, tenant_id=tenant_id), received_at, tenant_id, is_tenant_fixed=True)
    record = event_record(event)
    try:
        decode_event(record.value)
    except InvalidField as error:
        message = f"{path}: adapted to our {error.path}, which breaks the contract: {error}"
        raise InvalidField(message, path=path) from error
    return record, event.event_id

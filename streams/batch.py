"""The fold stage: raw records become visits, one per visitor, and dead letters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.errors import ClockSkew, ContractError, WrongKey
from contracts.events import Event, decode_event
from contracts.keys import message_key
from contracts.settings import SessionSettings
from streams.feedback import tells
from streams.ports import Record
from streams.sessions import Outcome, SessionState, advance

FUTURE_LIMIT_MS = 3_600_000  # an event may be at most an hour ahead of the broker's clock
# A dead letter is longer than what it holds, and a broker takes no record beyond a megabyte.
_LETTER_VALUE, _LETTER_KEY, _LETTER_HEADERS, _LETTER_MESSAGE = 524_288, 4_096, 65_536, 1_000


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record of the events topic; `timestamp` is the broker's (ms), `token` what the source needs to acknowledge."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()
    token: Any = None


@dataclass(slots=True)
class Visit:
    """One visitor in one batch: the state after all of the batch's events, and the event that the page answers."""

    key: bytes
    state: SessionState
    trigger: Event
    incoming: Incoming
    events: int = 1
    is_stored: bool = True
    """False when the visitor withheld consent: the page is made from this event alone and nothing is kept."""
    had_state: bool = False
    withheld: bool = False
    """Whether any event of the batch withheld consent: what was kept before is removed, also if the last one gives it."""


@dataclass
class Batch:
    """What one micro-batch came to."""

    visits: dict[bytes, Visit] = field(default_factory=dict)
    dead: list[Record] = field(default_factory=list)
    dead_reasons: list[str] = field(default_factory=list)
    duplicates: int = 0
    replayed: int = 0
    late: int = 0
    told: list[Event] = field(default_factory=list)
    """Folded events that tell of earlier pages or of ads, for `streams.feedback`."""
    watermarks: dict[tuple[int, str], int] = field(default_factory=dict)
    """Highest event time per (partition, tenant): the clock by which sessions expire."""

    @property
    def coalesced(self) -> int:
        """Events that share a page with a later one of the same visitor."""
        return sum(visit.events - 1 for visit in self.visits.values())


def dead_letter(incoming: Incoming, error: ContractError, *, topic: str, source_topic: str, stage: str) -> tuple[Record, str]:
    """The dead-letter record of one input: original key, value and headers, plus where and why it failed.

    What no broker would take is cut, and the header `dlq.error.truncated` tells how many bytes key, value and headers had.
    """
    details = {
        "code": error.code,
        "path": error.path,
        "message": str(error)[:_LETTER_MESSAGE],
        "topic": source_topic,
        "partition": str(incoming.partition),
        "offset": str(incoming.offset),
        "stage": stage,
        "attempt": "1",
    }
    kept = tuple(header for header in incoming.headers if not header[0].startswith("dlq.error."))
    key, value = incoming.key, incoming.value
    sizes = [len(key or b""), len(value or b""), sum(len(name) + len(held or b"") for name, held in kept)]
    if sizes[0] > _LETTER_KEY or sizes[1] > _LETTER_VALUE or sizes[2] > _LETTER_HEADERS:
        details["truncated"] = " ".join(map(str, sizes))
        key, value = key and key[:_LETTER_KEY], value and value[:_LETTER_VALUE]
        kept = kept if sizes[2] <= _LETTER_HEADERS else ()
    if key is None and value is None:
        value = b""  # a record of neither cannot be written
    ours = tuple((f"dlq.error.{name}", text.encode()) for name, text in details.items())
    return Record(topic, key, value, headers=(*kept, *ours)), error.code


def read(incoming: Incoming) -> Event:
    """Decode one record and check what only the record can tell.

    Raises:
        ContractError: broken bytes, a key that is not the visitor's, or an event time far in the future.
    """
    event = decode_event(incoming.value)
    key = message_key(event.tenant_id, event.visitor_id)
    if incoming.key != key:
        shown = (incoming.key or b"").decode("utf-8", "replace")[:200]
        message = f"the message key is {shown!r}, expected tenant_id|visitor_id = {key.decode()!r}"
        raise WrongKey(message, path="key")
    if event.time > incoming.timestamp + FUTURE_LIMIT_MS:
        message = f"$.event_time: {event.time} is more than an hour after the broker's {incoming.timestamp}"
        raise ClockSkew(message, path="$.event_time")
    return event


def _fold(
    batch: Batch, event: Event, incoming: Incoming, lookup: Callable[[bytes], SessionState | None], settings: SessionSettings
) -> None:
    key = incoming.key or b""
    visit = batch.visits.get(key)
    if visit is None:
        before = lookup(key)
        had_state = before is not None
    else:
        before = visit.state if visit.is_stored else None
        had_state = visit.had_state
    consents = event.consent is None or event.consent.personalization
    step = advance(before if consents else None, event, incoming.partition, incoming.offset, settings, incoming.timestamp)
    batch.late += step.late
    if step.outcome is Outcome.DUPLICATE:
        batch.duplicates += 1
    elif step.outcome is Outcome.REPLAYED:
        batch.replayed += 1
    else:
        state = step.state if consents else msgspec.structs.replace(step.state, sequence=0)
        events = visit.events + 1 if visit is not None else 1
        withheld = not consents or (visit is not None and visit.withheld)
        batch.visits[key] = Visit(key, state, event, incoming, events, consents, had_state, withheld)
        if tells(event):
            batch.told.append(event)
        clock = (incoming.partition, event.tenant_id)
        # A shop's clock that runs ahead must not end everybody's session.
        batch.watermarks[clock] = max(batch.watermarks.get(clock, 0), min(event.time, incoming.timestamp))


def fold(
    records: Sequence[Incoming],
    lookup: Callable[[bytes], SessionState | None],
    settings: SessionSettings,
    *,
    events_topic: str,
    dead_letter_topic: str,
) -> Batch:
    """Decode, deduplicate and fold a micro-batch; several events of a visitor become one visit.

    Args:
        records: in the order of their offsets per partition.
        lookup: the visitor's state before the batch, by message key.
        settings: idle time and bounds of a session.
        events_topic: name written into dead letters.
        dead_letter_topic: where dead letters go.
    """
    batch = Batch()
    for incoming in records:
        try:
            _fold(batch, read(incoming), incoming, lookup, settings)
        except ContractError as error:
            record, reason = dead_letter(incoming, error, topic=dead_letter_topic, source_topic=events_topic, stage="fold")
            batch.dead.append(record)
            batch.dead_reasons.append(reason)
    return batch

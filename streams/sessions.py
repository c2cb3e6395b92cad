"""The pure fold: a visitor's state and one event give the next state. Knows no Kafka, Faust, Triton or wall clock.

The rules, in the order in which they are applied to an event at (partition, offset):

1. **Fence.** An offset at or below the state's own changes nothing (`REPLAYED`): it was folded before a restart.
2. **Duplicate.** An `event_id` among the visitor's newest `event_ids` ones changes nothing (`DUPLICATE`), until the visitor
   has sent nothing for `duplicate_seconds` by the broker's clock. Ids outlive the session: see :func:`at_rest`.
3. **Expiry.** More than `idle_seconds` of *event* time after the last event, a new session begins and nothing is kept.
4. **Login.** The first `user_id` makes the session the known visitor's: it goes on with all that it holds, under another
   `session_id` too. Another `user_id` than the known one is another person: a new session begins and nothing is kept.
5. **New session id.** Another explicit `session_id` begins a new session too, but cart and purchases stay.
6. **Straggler.** An event that is older than the session it would end by rule 4 or 5 ends nothing; one of another person
   is counted and leaves no fact.
7. **Late.** An event older than the session's last by more than `idle_seconds` is folded for facts (cart, purchase,
   dismissal) but does not move the encoder: taste is read in order of time, ownership in order of arrival.
8. Otherwise the event is folded in order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from contracts.events import Event, PageType
from contracts.keys import item_key
from contracts.settings import SessionSettings
from contracts.tensors import RING, EventKind
from streams import event_ids
from streams.facts import facts_after

Touch = tuple[int, int]  # (item key, EventKind), oldest first
IDS_PREFIX = b"\xff"


class SessionState(msgspec.Struct, array_like=True, frozen=True):
    """Everything remembered of one visitor; about 1 KB as MessagePack, the value of the session table.

    `sequence` counts the events folded into the session, (`partition`, `offset`) is the last of them.
    `encoder` is float32 [S] of the model `encoder_version`; `pending` are the touches that it has not seen yet
    (while the ranker was away). `recent` are the touches that it has seen, at most `recent_events`. `touched` counts the
    touches of the session, also those that are no longer kept, but not what was taken out of the cart.
    """

    partition: int
    offset: int
    sequence: int
    session_id: str
    started_time: int
    last_time: int
    page_type: PageType = "home"
    category: str = ""
    anchor: int = 0
    user_id: str | None = None
    page_view_id: str | None = None
    encoder_version: int = 0
    encoder: bytes = b""
    recent: tuple[Touch, ...] = ()
    pending: tuple[Touch, ...] = ()
    cart: tuple[int, ...] = ()
    bought: tuple[int, ...] = ()
    dismissed: tuple[int, ...] = ()
    event_ids: bytes = b""
    experiment_ids: tuple[str, ...] = ()
    touched: int = 0
    arrived: int = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether there is no session, only the ids of events that were folded before."""
        return self.sequence == 0

    @property
    def ring(self) -> tuple[int, ...]:
        """Item keys that the encoder attends to, newest first, at most W = `RING`."""
        return tuple(key for key, _ in reversed(self.recent[-RING:]))


class Outcome(Enum):
    """What became of an event; the value is the metric's label."""

    PROCESSED = "processed"
    DUPLICATE = "duplicate"
    REPLAYED = "replayed"


@dataclass(frozen=True)
class Step:
    """Result of folding one event."""

    state: SessionState
    outcome: Outcome
    late: bool = False


_KINDS = {
    "view_item": EventKind.VIEW,
    "select_item": EventKind.VIEW,
    "add_to_cart": EventKind.CART,
    "purchase": EventKind.PURCHASE,
    "add_to_wishlist": EventKind.WISHLIST,
    "remove_from_cart": EventKind.REMOVE,
}
_PAGE_OF_EVENT: dict[str, PageType] = {
    "view_item": "product",
    "search": "search",
    "view_cart": "cart",
    "begin_checkout": "checkout",
    "view_item_list": "category",
}
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SessionState)


def encode_state(state: SessionState) -> bytes:
    """Bytes of the session table's value."""
    return _ENCODER.encode(state)


def decode_state(value: bytes) -> SessionState:
    """Inverse of :func:`encode_state`.

    Raises:
        msgspec.DecodeError: if the bytes are no session state.
    """
    return _DECODER.decode(value)


def remembered_ids(state: SessionState | None, arrived: int, settings: SessionSettings) -> bytes:
    """Packed ids that still count for an event that arrived at the broker at `arrived` (ms)."""
    if state is None or arrived - state.arrived > settings.duplicate_seconds * 1000:
        return b""
    return state.event_ids


def ids_key(key: bytes) -> bytes:
    """Under which key of the session table the ids of a visitor without a session lie; message keys are UTF-8, this is not."""
    return IDS_PREFIX + key


def at_rest(state: SessionState) -> SessionState:
    """What outlives the session: no fact and no taste, only the ids by which repeated events are recognised."""
    return SessionState(
        partition=state.partition,
        offset=state.offset,
        sequence=0,
        session_id="",
        started_time=state.last_time,
        last_time=state.last_time,
        event_ids=state.event_ids,
        arrived=state.arrived,
    )


def _fresh(event: Event, partition: int, offset: int) -> SessionState:
    return SessionState(
        partition=partition,
        offset=-1,
        sequence=0,
        session_id=event.session_id or f"s-{partition}-{offset}",
        started_time=event.time,
        last_time=event.time,
    )


def is_expired(state: SessionState, time_ms: int, settings: SessionSettings) -> bool:
    """Whether an event at `time_ms` (event time) comes after the idle time of the session."""
    return time_ms - state.last_time > settings.idle_seconds * 1000


def _is_another_person(state: SessionState, event: Event) -> bool:
    return event.user_id is not None and state.user_id is not None and event.user_id != state.user_id


def _begin(state: SessionState | None, event: Event, partition: int, offset: int, settings: SessionSettings) -> SessionState:
    """The state that the event is folded into: as it was, a new session of the visitor, or a fresh one."""
    fresh = _fresh(event, partition, offset)
    if state is None or state.is_at_rest or is_expired(state, event.time, settings):
        return fresh
    if event.time < state.started_time:
        return state
    if _is_another_person(state, event):
        return fresh
    if event.session_id is None or event.session_id == state.session_id:
        return state
    if state.user_id is None and event.user_id is not None:
        return msgspec.structs.replace(state, session_id=event.session_id, started_time=event.time)
    return msgspec.structs.replace(fresh, cart=state.cart, bought=state.bought, user_id=state.user_id)


def _page(state: SessionState, event: Event, keys: tuple[int, ...]) -> tuple[PageType, str, int]:
    """Page type, category and anchor item after the event; an event that says nothing of the page leaves it as it was."""
    if event.page is not None:
        page_type = event.page.page_type
        category = event.page.page_categories[-1] if event.page.page_categories else ""
    elif event.event_name in _PAGE_OF_EVENT:
        page_type, category = _PAGE_OF_EVENT[event.event_name], ""
    else:
        return state.page_type, state.category, state.anchor
    anchor = state.anchor if page_type == "product" else 0
    if page_type == "product" and keys and event.event_name in ("view_item", "select_item", "page_view"):
        anchor = keys[0]
    return page_type, category, anchor


def advance(
    state: SessionState | None,
    event: Event,
    partition: int,
    offset: int,
    settings: SessionSettings,
    arrived: int | None = None,
) -> Step:
    """Fold one event; deterministic, and bounded in memory by the settings.

    Args:
        state: what is known of the visitor, None for nothing.
        event: the decoded event; its `event_time` is milliseconds.
        partition: partition of the events topic.
        offset: offset in that partition.
        settings: idle time and bounds.
        arrived: the broker's time of the record in milliseconds; None for the event's own.

    Returns:
        The next state (the same object when nothing changed), what became of the event, and whether it was late.
    """
    if state is not None and partition == state.partition and offset <= state.offset:
        return Step(state, Outcome.REPLAYED)
    arrived = event.time if arrived is None else arrived
    digest, ids = event_ids.digest(event.event_id), remembered_ids(state, arrived, settings)
    if state is not None and event_ids.holds(ids, digest):
        return Step(state, Outcome.DUPLICATE)
    base = _begin(state, event, partition, offset, settings)
    is_foreign = _is_another_person(base, event)
    late = base.last_time - event.time > settings.idle_seconds * 1000
    keys = tuple(dict.fromkeys(item_key(event.tenant_id, item.item_id) for item in event.items))
    kind = _KINDS.get(event.event_name)
    touches = () if kind is None or late or is_foreign else tuple((key, int(kind)) for key in keys)
    touched = 0 if kind is EventKind.REMOVE else len(touches)
    page_type, category, anchor = _page(base, event, keys)
    return Step(
        msgspec.structs.replace(
            base,
            partition=partition,
            offset=offset,
            sequence=base.sequence + 1,
            last_time=max(base.last_time, event.time),
            page_type=page_type,
            category=category,
            anchor=anchor,
            user_id=base.user_id if is_foreign else event.user_id or base.user_id,
            page_view_id=event.page_view_id,
            pending=(base.pending + touches)[-settings.recent_events :],
            event_ids=event_ids.added(ids, digest, settings.event_ids),
            experiment_ids=event.experiment_ids or base.experiment_ids,
            touched=base.touched + touched,
            arrived=max(base.arrived, arrived),
            **({} if is_foreign else facts_after(base, event, keys, settings.set_items)),
        ),
        Outcome.PROCESSED,
        late,
    )


def encoded(state: SessionState, encoder: bytes, version: int, settings: SessionSettings) -> SessionState:
    """The state after the ranker has stepped through `pending`: `encoder` is float32 [S] of model `version`."""
    return msgspec.structs.replace(
        state,
        encoder=encoder,
        encoder_version=version,
        recent=(state.recent + state.pending)[-settings.recent_events :],
        pending=(),
    )


def is_newer(state: SessionState, held: SessionState) -> bool:
    """Whether a state that was written later is also later by its events; of equals the one written last counts."""
    return state.partition != held.partition or state.offset >= held.offset


def excluded(state: SessionState) -> tuple[int, ...]:
    """Item keys that may not be shown: in the cart, bought, dismissed, and the product that the page is about."""
    anchor = (state.anchor,) if state.anchor else ()
    return (*state.cart, *state.bought, *state.dismissed, *anchor)


def without_encoder(state: SessionState) -> SessionState:
    """The state with all touches pending: what folding leaves where no ranker answered."""
    return msgspec.structs.replace(state, encoder=b"", encoder_version=0, recent=(), pending=state.recent + state.pending)

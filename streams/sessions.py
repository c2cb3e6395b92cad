"""The pure fold: a visitor's state and one event give the next state. Knows no Kafka, Faust, Triton or wall clock.

The rules, in the order in which they are applied to an event at (partition, offset):

1. **Fence.** An offset at or below the state's own changes nothing (`REPLAYED`): it was folded before a restart.
2. **Duplicate.** An `event_id` among the recent ones changes nothing (`DUPLICATE`).
3. **Expiry.** More than `idle_seconds` of *event* time after the last event, a new session begins and nothing is kept.
4. **New session id.** Another explicit `session_id` begins a new session too, but cart and purchases stay, unless the
   event is older than the session it would end.
5. **Late.** An event older than the session's last by more than `idle_seconds` is folded for facts (cart, purchase,
   dismissal) but does not move the encoder: taste is read in order of time, ownership in order of arrival.
6. Otherwise the event is folded in order of arrival.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

import msgspec

from contracts.events import Event, PageType
from contracts.keys import item_key
from contracts.settings import SessionSettings
from contracts.tensors import RING, EventKind

Touch = tuple[int, int]  # (item key, EventKind), oldest first


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
    event_ids: tuple[int, ...] = ()
    experiment_ids: tuple[str, ...] = ()
    touched: int = 0

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


def event_digest(event_id: str) -> int:
    """64-bit hash of an event id: the ring of recent ids costs 9 bytes an id instead of 37."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "little")


def _session_id(event: Event, partition: int, offset: int) -> str:
    return event.session_id or f"s-{partition}-{offset}"


def _fresh(event: Event, partition: int, offset: int) -> SessionState:
    return SessionState(
        partition=partition,
        offset=-1,
        sequence=0,
        session_id=_session_id(event, partition, offset),
        started_time=event.time,
        last_time=event.time,
    )


def is_expired(state: SessionState, time_ms: int, settings: SessionSettings) -> bool:
    """Whether an event at `time_ms` (event time) comes after the idle time of the session."""
    return time_ms - state.last_time > settings.idle_seconds * 1000


def _begin(state: SessionState | None, event: Event, partition: int, offset: int, settings: SessionSettings) -> SessionState:
    """The state that the event is folded into: as it was, a new session of the visitor, or a fresh one."""
    if state is None or is_expired(state, event.time, settings):
        return _fresh(event, partition, offset)
    changed = event.session_id is not None and event.session_id != state.session_id
    if not changed or event.time < state.started_time:
        return state
    return msgspec.structs.replace(
        _fresh(event, partition, offset), cart=state.cart, bought=state.bought, event_ids=state.event_ids, user_id=state.user_id
    )


def _added(keys: tuple[int, ...], new: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """`keys` with `new` moved to the end, at most `limit`, the oldest left out."""
    return (tuple(key for key in keys if key not in new) + new)[-limit:]


def _without(keys: tuple[int, ...], gone: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(key for key in keys if key not in gone)


def _facts(state: SessionState, event: Event, keys: tuple[int, ...], limit: int) -> dict[str, tuple[int, ...]]:
    """Cart, bought and dismissed after the event."""
    match event.event_name:
        case "add_to_cart":
            return {"cart": _added(state.cart, keys, limit), "dismissed": _without(state.dismissed, keys)}
        case "remove_from_cart":
            return {"cart": _without(state.cart, keys)}
        case "purchase":
            return {"cart": _without(state.cart, keys), "bought": _added(state.bought, keys, limit)}
        case "refund":
            return {"bought": _without(state.bought, keys)}
        case "dismiss_item":
            return {"dismissed": _added(state.dismissed, keys, limit)}
    return {}


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


def advance(state: SessionState | None, event: Event, partition: int, offset: int, settings: SessionSettings) -> Step:
    """Fold one event; deterministic, and bounded in memory by the settings.

    Args:
        state: what is known of the visitor, None for nothing.
        event: the decoded event; its `event_time` is milliseconds.
        partition: partition of the events topic.
        offset: offset in that partition.
        settings: idle time and bounds.

    Returns:
        The next state (the same object when nothing changed), what became of the event, and whether it was late.
    """
    if state is not None and partition == state.partition and offset <= state.offset:
        return Step(state, Outcome.REPLAYED)
    digest = event_digest(event.event_id)
    if state is not None and digest in state.event_ids and not is_expired(state, event.time, settings):
        return Step(state, Outcome.DUPLICATE)
    base = _begin(state, event, partition, offset, settings)
    late = base.last_time - event.time > settings.idle_seconds * 1000
    keys = tuple(dict.fromkeys(item_key(event.tenant_id, item.item_id) for item in event.items))
    kind = _KINDS.get(event.event_name)
    touches = () if kind is None or late else tuple((key, int(kind)) for key in keys)
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
            user_id=event.user_id or base.user_id,
            page_view_id=event.page_view_id,
            pending=(base.pending + touches)[-settings.recent_events :],
            touched=base.touched + (0 if kind is EventKind.REMOVE else len(touches)),
            event_ids=(*base.event_ids, digest)[-settings.event_ids :],
            experiment_ids=event.experiment_ids or base.experiment_ids,
            **_facts(base, event, keys, settings.set_items),
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

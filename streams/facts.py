"""What a visitor owns, bought and does not want to see: facts, in order of arrival, unlike taste. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.events import Event
    from streams.sessions import SessionState


def _added(keys: tuple[int, ...], new: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """`keys` with `new` moved to the end, at most `limit`, the oldest left out."""
    return (tuple(key for key in keys if key not in new) + new)[-limit:]


def _without(keys: tuple[int, ...], gone: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(key for key in keys if key not in gone)


def facts_after(state: SessionState, event: Event, keys: tuple[int, ...], limit: int) -> dict[str, tuple[int, ...]]:
    """Cart, bought and dismissed after an event about `keys`, as far as it changes them; at most `limit` of each."""
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

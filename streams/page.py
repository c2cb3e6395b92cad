"""The rules stage: candidates become a page. Pure; the same inputs give the same bytes but for the times."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.recommendations import Placement, RecommendedItem
from contracts.tensors import Candidate
from streams.items import ItemCard, ItemView

PLACEMENTS = {
    "home": ("home_for_you", "For you"),
    "category": ("category_picks", "Picked for you in this category"),
    "search": ("search_picks", "You may also like"),
    "product": ("pdp_similar", "You may also like"),
    "cart": ("cart_complements", "Goes well with your cart"),
    "checkout": ("checkout_complements", "Before you go"),
    "content": ("content_picks", "For you"),
    "help": ("help_picks", "For you"),
}
SOURCES = tuple(candidate.name.lower() for candidate in Candidate)
_REASON_OF_SOURCE = {
    Candidate.SESSION_NEIGHBOURS: "Bought together",
    Candidate.CO_VISIT: "Bought together",
    Candidate.POPULAR: "Popular item",
    Candidate.EXPLORATION: "Exploration",
    Candidate.RECENT: "Similar to viewed",
}
_REASON_OF_MODALITY = ("Same style text", "Looks like", "Similar to viewed")
_MODALITIES = ("text", "image", "behaviour")


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate that may be shown."""

    card: ItemCard
    score: float
    source: Candidate
    shares: tuple[float, float, float] | None = None


def mixed(candidates: Sequence[Scored], size: int, diversity: float, *, by_leaf: bool = True) -> list[Scored]:
    """Choose `size` of the candidates (best first), mixing categories.

    Greedy, after maximal marginal relevance (Carbonell and Goldstein 1998): each slot takes the candidate with the
    highest (1 - diversity) · score/top - diversity · repeat, where repeat is 1 for the category of the slot before and
    else the share of its category so far. Only the best of each category can win a slot, so the cost is slots times
    categories. `diversity` 0 keeps the order, 1 lets no category follow itself while others are left.
    """
    if diversity == 0 or not candidates:
        return list(candidates[:size])
    queues: dict[str, deque[tuple[int, Scored]]] = defaultdict(deque)
    for rank, candidate in enumerate(candidates):
        category = candidate.card.category
        queues[category if by_leaf else category.split(" > ", 1)[0]].append((rank, candidate))
    top = max(candidates[0].score, 1e-9)
    chosen: list[Scored] = []
    count: dict[str, int] = defaultdict(int)
    last: str | None = None
    while queues and len(chosen) < size:
        filled = max(len(chosen), 1)
        best, best_key = "", (float("-inf"), 0)
        for category, queue in queues.items():
            rank, head = queue[0]
            repeat = 1.0 if category == last else count[category] / filled
            key = ((1 - diversity) * head.score / top - diversity * repeat, -rank)
            if key > best_key:
                best, best_key = category, key
        chosen.append(queues[best].popleft()[1])
        count[best] += 1
        last = best
        if not queues[best]:
            del queues[best]
    return chosen


def reasons(candidate: Scored) -> tuple[str, ...]:
    """Why the item is there, in the words of the contract."""
    found = []
    if candidate.source in _REASON_OF_SOURCE:
        found.append(_REASON_OF_SOURCE[candidate.source])
    if candidate.shares is not None and sum(candidate.shares) > 0 and candidate.source is not Candidate.POPULAR:
        strongest = max(range(3), key=candidate.shares.__getitem__)
        found.append(_REASON_OF_MODALITY[strongest])
    if candidate.card.price_dropped:
        found.append("Price drop")
    return tuple(dict.fromkeys(found)) or ("Popular item",)


def placement(page_type: str, chosen: Sequence[Scored]) -> Placement:
    """The grid placement of a page type."""
    list_id, name = PLACEMENTS[page_type]
    return Placement(
        item_list_id=list_id,
        item_list_name=name,
        kind="grid",
        items=tuple(
            RecommendedItem(
                item_id=candidate.card.item_id,
                index=index,
                score=round(candidate.score, 6),
                reason=reasons(candidate),
                source=SOURCES[candidate.source],
                shares=_shares(candidate.shares),
            )
            for index, candidate in enumerate(chosen)
        ),
    )


def _shares(shares: tuple[float, float, float] | None) -> dict[str, float]:
    if shares is None:
        return {}
    return {name: round(share, 3) for name, share in zip(_MODALITIES, shares, strict=True)}


def showable(
    view: ItemView, keys: Iterable[tuple[int, float, int, tuple[float, float, float] | None]], hidden: set[int], time_ms: int
) -> list[Scored]:
    """Candidates (key, score, source, shares) that are known, in stock, not hidden; none twice."""
    found: list[Scored] = []
    seen = set(hidden)
    for key, score, source, shares in keys:
        card = view.cards.get(key)
        if card is None or key in seen or not card.is_showable(time_ms):
            continue
        seen.add(key)
        found.append(Scored(card, score, Candidate(source), shares))
    return found


def popular(view: ItemView, tenant: int, category: int, hidden: set[int], time_ms: int, size: int) -> list[Scored]:
    """The fallback: popular items of the category, then of the whole shop; at most `size`, scores falling from 0.5."""
    found: list[Scored] = []
    seen = set(hidden)
    for scope in dict.fromkeys((category, 0)):
        for key in view.popular(tenant, scope):
            card = view.cards.get(key)
            if card is not None and key not in seen and card.is_showable(time_ms):
                seen.add(key)
                found.append(Scored(card, 0.5 / (1 + len(found)), Candidate.POPULAR))
                if len(found) == size:
                    return found
    return found


def recommendation_id(key: bytes, partition: int, offset: int, model_version: int) -> str:
    """Deterministic UUID (RFC 9562, version 8) of a page, so that a page made again has the same id."""
    digest = hashlib.blake2b(key + f"|{partition}|{offset}|{model_version}".encode(), digest_size=16).digest()
    value = int.from_bytes(digest, "big")
    value = value & ~(0xF << 76) | (0x8 << 76)
    return str(uuid.UUID(int=value & ~(0x3 << 62) | (0x2 << 62)))


def attribution_token(recommendation: str, model_version: int, experiments: Sequence[str], secret: bytes) -> str:
    """Opaque signed token (HMAC-SHA256, RFC 2104, cut to 96 bits) that ties later events to the page."""
    payload = "|".join((recommendation, str(model_version), *experiments)).encode()
    signature = hmac.digest(secret, payload, "sha256")[:12]
    return "at_" + base64.urlsafe_b64encode(signature + payload).decode().rstrip("=")


def read_token(token: str, secret: bytes) -> tuple[str, int, tuple[str, ...]] | None:
    """Recommendation id, model version and experiments of a token; None if it is not ours or was changed."""
    try:
        raw = base64.urlsafe_b64decode(token.removeprefix("at_") + "=" * (-len(token.removeprefix("at_")) % 4))
        signature, payload = raw[:12], raw[12:]
        if not hmac.compare_digest(signature, hmac.digest(secret, payload, "sha256")[:12]):
            return None
        recommendation, version, *experiments = payload.decode().split("|")
        return recommendation, int(version), tuple(experiments)
    except ValueError:
        return None

"""The rules stage: candidates become a page. Pure; the same inputs give the same bytes but for the times."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.recommendations import Placement, RecommendedItem
from contracts.tensors import Candidate, Voice
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
_REASON_OF_SOURCE: dict[int, str] = {
    Candidate.SESSION_NEIGHBOURS: "Bought together",
    Candidate.CO_VISIT: "Bought together",
    Candidate.POPULAR: "Popular item",
    Candidate.EXPLORATION: "Exploration",
    Candidate.RECENT: "Similar to viewed",
}
_REASON_OF_MODALITY = ("Same style text", "Looks like", "Similar to viewed")


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate that may be shown."""

    card: ItemCard
    score: float
    source: int
    """`contracts.tensors.Candidate`."""
    shares: tuple[float, float, float] | None = None
    voices: tuple[float, ...] = ()
    """Share of each `contracts.tensors.Voice` in the score, empty or zeros where the ranker does not tell."""


def mixed(categories: Sequence[str], scores: Sequence[float], size: int, diversity: float) -> list[int]:
    """Choose `size` of the candidates (given best first), mixing categories; the positions chosen, in order.

    Greedy, after maximal marginal relevance (Carbonell and Goldstein 1998): each slot takes the candidate with the
    highest (1 - diversity) · score/top - diversity · repeat, where repeat is 1 for the category of the slot before and
    else the share of its category so far. `diversity` 0 keeps the order, 1 lets no category follow itself while others
    are left. Only the best of each category can win, and of the categories not shown yet only the first: so a slot
    costs as many comparisons as categories were shown.
    """
    if diversity == 0 or not scores:
        return list(range(min(size, len(scores))))
    queues: dict[str, list[int]] = {}
    for position, category in enumerate(categories):
        queues.setdefault(category, []).append(position)
    unseen = deque(queues)
    worth = (1 - diversity) / max(scores[0], 1e-9)
    count: dict[str, int] = {}
    chosen: list[int] = []
    last = ""
    while len(chosen) < size and len(chosen) < len(scores):
        best, best_worth = "", float("-inf")
        if unseen:
            best = unseen[0]
            best_worth = worth * scores[queues[best][0]]
        for category, shown in count.items():
            queue = queues[category]
            if shown == len(queue):
                continue
            repeat = 1.0 if category == last else shown / len(chosen)
            value = worth * scores[queue[shown]] - diversity * repeat
            if value > best_worth or (value == best_worth and queue[shown] < queues[best][count.get(best, 0)]):
                best, best_worth = category, value
        if unseen and best == unseen[0]:
            unseen.popleft()
        place = count.get(best, 0)
        chosen.append(queues[best][place])
        count[best] = place + 1
        last = best
    return chosen


def reasons(candidate: Scored) -> tuple[str, ...]:
    """Why the item is there, in the words of the contract."""
    of_source = _REASON_OF_SOURCE.get(candidate.source)
    shares = candidate.shares
    of_match = None
    if shares is not None and candidate.source != Candidate.POPULAR and (strongest := max(shares)) > 0:
        of_match = _REASON_OF_MODALITY[shares.index(strongest)]
    of_price = "Price drop" if candidate.card.price_dropped else None
    return tuple(dict.fromkeys(filter(None, (of_source, of_match, of_price)))) or ("Popular item",)


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
                voices=_voices(candidate.voices),
            )
            for index, candidate in enumerate(chosen)
        ),
    )


def _shares(shares: tuple[float, float, float] | None) -> dict[str, float]:
    if shares is None:
        return {}
    text, image, behaviour = shares
    return {"text": round(text, 3), "image": round(image, 3), "behaviour": round(behaviour, 3)}


def _voices(voices: tuple[float, ...]) -> dict[str, float]:
    if not any(voices):
        return {}
    return {voice.name.lower(): round(voices[voice], 3) for voice in Voice}


def showable(view: ItemView, keys: Sequence[int], hidden: set[int], time_ms: int, most: int) -> list[tuple[int, ItemCard]]:
    """Position and card of the first `most` candidates that are known, in stock and not hidden; none twice."""
    found: list[tuple[int, ItemCard]] = []
    seen = set(hidden)
    cards = view.cards
    for position, key in enumerate(keys):
        card = cards.get(key)
        if card is None or key in seen or not card.is_showable(time_ms):
            continue
        seen.add(key)
        found.append((position, card))
        if len(found) == most:
            break
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


_TOKEN_PAYLOAD = 360  # bytes: with the signature and in base64, below the 512 characters that an event may bring


def recommendation_id(key: bytes, partition: int, offset: int, model_version: int) -> str:
    """Deterministic UUID (RFC 9562, version 8) of a page, so that a page made again has the same id."""
    digest = hashlib.blake2b(key + f"|{partition}|{offset}|{model_version}".encode(), digest_size=16).digest()
    value = int.from_bytes(digest, "big")
    value = value & ~(0xF << 76) | (0x8 << 76)
    return str(uuid.UUID(int=value & ~(0x3 << 62) | (0x2 << 62)))


def attribution_token(recommendation: str, model_version: int, experiments: Sequence[str], secret: bytes) -> str:
    """Opaque signed token (HMAC-SHA256, RFC 2104, cut to 96 bits) that ties later events to the page.

    Events bring it back in a field of 512 characters: experiments that do not fit are told by a digest of all of them.
    """
    payload = "|".join((recommendation, str(model_version), *experiments)).encode()
    if len(payload) > _TOKEN_PAYLOAD:
        digest = hashlib.blake2b("|".join(experiments).encode(), digest_size=16).hexdigest()
        payload = "|".join((recommendation, str(model_version), f"#{digest}")).encode()
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

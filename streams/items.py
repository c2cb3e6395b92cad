"""What the worker knows of the items: metadata by item key, and who is popular where. Fed by the embeddings topic."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import log1p

import msgspec

from contracts.catalog import CatalogItem, Sponsored
from contracts.decoding import decode
from contracts.keys import category_key, item_key, split_key, tenant_key


class _Metadata(msgspec.Struct, frozen=True):
    """The part of an embedding record that the worker reads; the vectors are skipped by the decoder."""

    item_id: str
    tenant_id: str
    item: CatalogItem | None = None


@dataclass(frozen=True, slots=True)
class ItemCard:
    """What the rules need of one item."""

    key: int
    item_id: str
    tenant: int
    category: str
    category_key: int
    in_stock: bool
    popularity: float
    price_dropped: bool
    available_time: int | None
    expire_time: int | None
    sponsored: Sponsored | None
    seller: str

    def is_showable(self, time_ms: int) -> bool:
        """Whether the item may be on a page made for an event of `time_ms`."""
        return (
            self.in_stock
            and (self.available_time is None or self.available_time <= time_ms)
            and (self.expire_time is None or time_ms < self.expire_time)
        )


_DECODER = msgspec.json.Decoder(_Metadata)


def card_of(value: bytes) -> ItemCard:
    """Read the card out of one `shop.item_embeddings.v1` value.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    record = decode(_DECODER, value)
    item = record.item or CatalogItem(item_id=record.item_id, title="")
    category = item.categories[0] if item.categories else ""
    return ItemCard(
        key=item_key(record.tenant_id, record.item_id),
        item_id=record.item_id,
        tenant=tenant_key(record.tenant_id),
        category=category,
        category_key=category_key(record.tenant_id, category),
        in_stock=item.is_in_stock,
        popularity=log1p(item.rating.rating_count) if item.rating else 0.0,
        price_dropped=item.price is not None and item.original_price is not None and item.price < item.original_price,
        available_time=item.available_time,
        expire_time=item.expire_time,
        sponsored=item.sponsored,
        seller=item.brands[0] if item.brands else "",
    )


@dataclass
class ItemView:
    """Cards of all live items by key, with the popular ones of each category at hand for the fallback page.

    Popularity is the logarithm of ratings plus touches seen by this worker; the lists are sorted anew when asked for
    after a change, at most once per `RESORT_AFTER` changes.
    """

    RESORT_AFTER = 200

    cards: dict[int, ItemCard] = field(default_factory=dict)
    touches: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    _popular: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    _changes: int = 0

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of the embeddings topic; None deletes.

        Raises:
            ContractError: if the value breaks the contract; the view stays as it was.
        """
        if value is None:
            tenant_id, item_id = split_key(key)
            key_of_item = item_key(tenant_id, item_id)
            self.cards.pop(key_of_item, None)
            self.touches.pop(key_of_item, None)
        else:
            card = card_of(value)
            self.cards[card.key] = card
        self._changed()

    def knows(self, tenant_id: str, item_id: str) -> bool:
        """Whether the item is in the live catalogue."""
        return item_key(tenant_id, item_id) in self.cards

    def touch(self, key: int) -> None:
        """Count one touch of an item by a visitor; ids that the catalogue does not hold may be anything, and are not kept."""
        if key in self.cards:
            self.touches[key] += 1.0
            self._changed()

    def _changed(self) -> None:
        self._changes += 1
        if self._changes >= self.RESORT_AFTER:
            self._changes = 0
            self._popular.clear()

    def popular(self, tenant: int, category: int) -> list[int]:
        """Keys of a tenant's items, most popular first; `category` 0 means all of them."""
        found = self._popular.get((tenant, category))
        if found is None:
            cards = [card for card in self.cards.values() if card.tenant == tenant and category in (0, card.category_key)]
            cards.sort(key=lambda card: (-(card.popularity + log1p(self.touches.get(card.key, 0.0))), card.item_id))
            found = self._popular[tenant, category] = [card.key for card in cards]
        return found

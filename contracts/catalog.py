"""The catalogue item (`shop.catalog.v1`) and what is derived from it (`shop.item_embeddings.v1`)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from contracts.decoding import decode
from contracts.events import Id256, Millis, Money, Short, Uri

Availability = Literal["IN_STOCK", "OUT_OF_STOCK", "PREORDER", "BACKORDER"]
Modality = Literal["text", "image", "behaviour"]
MODALITIES: tuple[Modality, ...] = ("text", "image", "behaviour")

Whole = Annotated[int, Meta(ge=0, le=2**53)]  # as far as JSON's numbers are exact everywhere (RFC 8259, section 6)
Strings = Annotated[tuple[Short, ...], Meta(max_length=64)]


class Image(msgspec.Struct, frozen=True, omit_defaults=True):
    """Picture of an item by URI (file, http, https, data); sizes in pixels."""

    uri: Annotated[str, Meta(min_length=1, max_length=100_000)]
    width: Whole | None = None
    height: Whole | None = None


class Video(msgspec.Struct, frozen=True, omit_defaults=True):
    """Film of an item by URI."""

    uri: Uri
    duration_ms: Whole | None = None


class Attribute(msgspec.Struct, frozen=True, omit_defaults=True):
    """Custom attribute, after Google Retail's CustomAttribute: texts or numbers."""

    text: Strings = ()
    numbers: Annotated[tuple[float, ...], Meta(max_length=512)] = ()


class Rating(msgspec.Struct, frozen=True):
    """Average of 1–5 and how many rated."""

    average_rating: Annotated[float, Meta(ge=0, le=5)]
    rating_count: Whole = 0


class Sponsored(msgspec.Struct, frozen=True, omit_defaults=True):
    """Campaign that pays for exposure; `bid` and `budget` in the item's currency, the budget per day."""

    campaign_id: Id256
    bid: Money = 0.0
    budget: Money = 0.0
    budget_unit: Literal["currency/day"] = "currency/day"
    pacing: Literal["even", "asap"] = "even"


class CatalogItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One product as the shop publishes it; categories are full paths `A > B`, times in milliseconds."""

    item_id: Id256
    title: Annotated[str, Meta(max_length=1000)]
    tenant_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^|]*$")] = "default"
    item_group_id: Id256 | None = None
    description: Annotated[str, Meta(max_length=20_000)] = ""
    categories: Annotated[tuple[Annotated[str, Meta(max_length=512)], ...], Meta(max_length=16)] = ()
    brands: Strings = ()
    price: Money | None = None
    original_price: Money | None = None
    cost: Money | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] | None = None
    availability: Availability = "IN_STOCK"
    available_quantity: Whole | None = None
    images: Annotated[tuple[Image, ...], Meta(max_length=32)] = ()
    videos: Annotated[tuple[Video, ...], Meta(max_length=16)] = ()
    uri: Uri | None = None
    language_code: Short | None = None
    tags: Strings = ()
    attributes: Annotated[dict[str, Attribute], Meta(max_length=128)] = {}
    color_families: Strings = ()
    sizes: Strings = ()
    materials: Strings = ()
    rating: Rating | None = None
    available_time: Millis | None = None
    publish_time: Millis | None = None
    expire_time: Millis | None = None
    sponsored: Sponsored | None = None
    updated_time: Millis | None = None

    @property
    def is_in_stock(self) -> bool:
        """Whether the item may be shown: not out of stock and, where a quantity is given, more than none."""
        return self.availability != "OUT_OF_STOCK" and self.available_quantity != 0


class ItemEmbedding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Vectors of one item and the metadata that rankers and workers need.

    `fused` (width `dim`, L2 norm 1) equals weights[0]·text + weights[1]·image + weights[2]·behaviour, where each of
    the three is L2-normalised and a missing one has weight 0; so a match splits into shares per modality.
    `source` is the place of the catalogue record, `catalog_time` when the broker took it (ms).
    """

    item_id: Id256
    tenant_id: str
    model_version: int
    dim: int
    fused: tuple[float, ...]
    text: tuple[float, ...] = ()
    image: tuple[float, ...] = ()
    weights: tuple[float, float, float] = (0.0, 0.0, 1.0)
    missing_modalities: tuple[Modality, ...] = ()
    created_time: int = 0
    catalog_time: int = 0
    source_partition: int = -1
    source_offset: int = -1
    item: CatalogItem | None = None


_ITEM_DECODER = msgspec.json.Decoder(CatalogItem)
_EMBEDDING_DECODER = msgspec.json.Decoder(ItemEmbedding)
_ENCODER = msgspec.json.Encoder()


def decode_item(value: bytes) -> CatalogItem:
    """Decode one catalogue record.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_ITEM_DECODER, value)


def decode_embedding(value: bytes) -> ItemEmbedding:
    """Decode one embedding record.

    Raises:
        ContractError: one of its subclasses, with the path of the field at fault.
    """
    return decode(_EMBEDDING_DECODER, value)


def embedding_text(item: CatalogItem) -> str:
    """The text that stands for a product in the item encoder, in training and serving alike; empty if it has none."""
    parts = (item.title, *item.categories[:1], *item.brands[:1], item.description)
    return ". ".join(part.strip() for part in parts if part.strip())


def encode(message: CatalogItem | ItemEmbedding) -> bytes:
    """UTF-8 JSON, defaults left out."""
    return _ENCODER.encode(message)

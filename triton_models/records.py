"""Records of `shop.item_embeddings.v1` to rows of the index."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from contracts.catalog import CatalogItem, ItemEmbedding, decode_embedding
from contracts.errors import InvalidField
from contracts.keys import item_key, split_key, tenant_key
from fusion.features import facts_of
from triton_models.index import Floats
from triton_models.items import ItemRow

_LENGTH_TOLERANCE = 0.01
_LARGEST = 2.0  # components of vectors of length 1, with room for rounding


class Change(NamedTuple):
    """One record: `item` None deletes. `catalog_time` is when the broker took the catalogue record (ms), 0 unknown."""

    key: int
    item: ItemRow | None
    catalog_time: int = 0
    model_version: int = 0


def read_change(key: bytes | None, value: bytes | None, dim: int) -> Change:
    """Read one record.

    Raises:
        ContractError: the value breaks the contract, its vectors are not of width `dim`, or `fused` has not length 1.
        ValueError: a deletion whose key is not `tenant_id|item_id`.
    """
    if value is None:
        tenant_id, item_id = split_key(key or b"")
        return Change(item_key(tenant_id, item_id), None)
    record = decode_embedding(value)
    fused = _vector(record, "fused", dim)
    length = float(np.sqrt((fused * fused).sum()))
    if not abs(length - 1.0) < _LENGTH_TOLERANCE:  # also where it is not a number
        message = f"$.fused: length {length}, expected 1"
        raise InvalidField(message, path="$.fused")
    item = record.item or CatalogItem(item_id=record.item_id, title="", tenant_id=record.tenant_id)
    row = ItemRow(
        key=item_key(record.tenant_id, record.item_id),
        tenant=tenant_key(record.tenant_id),
        fused=fused,
        text=_vector(record, "text", dim, may_miss=True),
        image=_vector(record, "image", dim, may_miss=True),
        weights=record.weights,
        facts=facts_of(item),
        is_eligible=item.is_in_stock,
    )
    return Change(row.key, row, record.catalog_time, record.model_version)


def _vector(record: ItemEmbedding, name: str, dim: int, *, may_miss: bool = False) -> Floats:
    values = getattr(record, name)
    if may_miss and not values:
        return np.zeros(dim, np.float32)
    if len(values) != dim:
        message = f"$.{name}: {len(values)} numbers, expected {dim}"
        raise InvalidField(message, path=f"$.{name}")
    vector = np.array(values)
    if not np.abs(vector).max() <= _LARGEST:  # also where it is not a number
        message = f"$.{name}: holds a number beyond ±2"
        raise InvalidField(message, path=f"$.{name}")
    return vector.astype(np.float32)

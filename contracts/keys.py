"""Keys: the Kafka message key and the 64-bit item key that tensors carry."""

from __future__ import annotations

import hashlib
from functools import lru_cache

_SEPARATOR = "|"


def message_key(tenant_id: str, entity_id: str) -> bytes:
    """Kafka key of a visitor's or an item's records: `tenant_id|entity_id` in UTF-8."""
    return f"{tenant_id}{_SEPARATOR}{entity_id}".encode()


def split_key(key: bytes) -> tuple[str, str]:
    """Inverse of :func:`message_key`.

    Raises:
        ValueError: if the key has no separator or is not UTF-8.
    """
    tenant_id, separator, entity_id = key.decode().partition(_SEPARATOR)
    if not separator:
        message = f"message key {key!r} has no '{_SEPARATOR}': expected tenant_id|entity_id"
        raise ValueError(message)
    return tenant_id, entity_id


@lru_cache(maxsize=262_144)
def item_key(tenant_id: str, item_id: str) -> int:
    """Stable signed 64-bit hash (BLAKE2b) of `tenant_id|item_id`; never 0, which means "no item" in tensors."""
    digest = hashlib.blake2b(message_key(tenant_id, item_id), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


@lru_cache(maxsize=65_536)
def category_key(tenant_id: str, category: str) -> int:
    """Stable signed 64-bit hash of a top-level category (the part before ` > `); 0 for an empty name."""
    top = category.split(" > ", 1)[0].strip()
    if not top:
        return 0
    digest = hashlib.blake2b(message_key(tenant_id, top), digest_size=8, person=b"category").digest()
    return int.from_bytes(digest, "little", signed=True) or 1


@lru_cache(maxsize=4096)
def tenant_key(tenant_id: str) -> int:
    """Stable signed 64-bit hash of a tenant, never 0."""
    digest = hashlib.blake2b(tenant_id.encode(), digest_size=8, person=b"tenant").digest()
    return int.from_bytes(digest, "little", signed=True) or 1

"""The catalogue as the gateway sees it: what was published, what is eligible since when, and a search over titles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from contracts.catalog import CatalogItem, decode_item
from contracts.errors import ContractError
from contracts.keys import message_key, split_key
from gateway.follower import Followed
from gateway.metrics import GatewayMetrics
from gateway.search import Shelf


class _Eligibility(msgspec.Struct):
    """The few fields of an embedding record that the gateway needs; vectors are skipped."""

    created_time: int = 0
    model_version: int = 0
    missing_modalities: tuple[str, ...] = ()
    source_partition: int = -1
    source_offset: int = -1
    item: CatalogItem | None = None


_PRIVATE = ("cost", "sponsored")
_ELIGIBILITY = msgspec.json.Decoder(_Eligibility)


@dataclass(slots=True)
class Entry:
    """One item: as published (record time ms), and since when the ranker may show it (None: not yet)."""

    item: CatalogItem | None = None
    published_ms: int = 0
    published_offset: int = -1
    eligible: _Eligibility | None = None

    def status(self, now_ms: int) -> dict[str, Any]:
        """Whether the item can be recommended, and how long that took or has been taking."""
        eligible = self.eligible
        # An embedding of an older record does not make the newest one eligible.
        is_current = eligible is not None and eligible.source_offset >= self.published_offset
        until = eligible.created_time if is_current and eligible is not None else now_ms
        return {
            "published": self.item is not None,
            "eligible": self.item is not None and is_current,
            "published_time": self.published_ms or None,
            "eligible_time": eligible.created_time if is_current and eligible is not None else None,
            "seconds": round(max(0, until - self.published_ms) / 1000, 3) if self.published_ms else None,
            "missing_modalities": list(eligible.missing_modalities) if eligible is not None else [],
            "model_version": eligible.model_version if eligible is not None else None,
        }


def _is_key(key: bytes) -> bool:
    try:
        split_key(key)
    except ValueError:
        return False
    return True


class Catalogue:
    """Items by message key, fed by the catalogue topic and the embeddings topic.

    Args:
        metrics: the gateway's metrics.
        pictures: folder (its last two names, `shop/images`) to the address under which the gateway serves it.
    """

    def __init__(self, metrics: GatewayMetrics, pictures: Mapping[str, str]) -> None:
        self._metrics = metrics
        self._pictures = pictures
        self._entries: dict[bytes, Entry] = {}
        self._shelves: dict[str, Shelf] = defaultdict(Shelf)

    def take_item(self, record: Followed) -> None:
        """One record of the catalogue topic."""
        if record.key is None or not _is_key(record.key):
            return
        if record.value is None:
            self._drop(record.key)
        else:
            try:
                item = decode_item(record.value)
            except ContractError:
                return  # the catalogue agent keeps it as a dead letter
            if message_key(item.tenant_id, item.item_id) != record.key:
                return  # likewise
            entry = self._entries.setdefault(record.key, Entry())
            entry.item, entry.published_ms, entry.published_offset = item, record.timestamp, record.offset
            self._shelf(record.key).put(item)
        self._metrics.catalogue.set(len(self._entries))

    def take_embedding(self, record: Followed) -> None:
        """One record of the embeddings topic."""
        if record.key is None or not _is_key(record.key):
            return
        entry = self._entries.get(record.key)
        if record.value is None:
            if entry is not None and entry.published_offset < 0:  # the catalogue's own record was gone before
                self._drop(record.key)
            elif entry is not None:
                entry.eligible = None
            return
        try:
            eligibility = _ELIGIBILITY.decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if entry is None:
            entry = self._entries[record.key] = Entry()
        entry.eligible = eligibility
        if entry.item is None and eligibility.item is not None:
            entry.item = eligibility.item
            self._shelf(record.key).put(eligibility.item)

    def _shelf(self, key: bytes) -> Shelf:
        return self._shelves[split_key(key)[0]]

    def _drop(self, key: bytes) -> None:
        self._entries.pop(key, None)
        self._shelf(key).remove(split_key(key)[1])

    def search(self, tenant: str, query: str, category: str, limit: int) -> tuple[int, list[CatalogItem]]:
        """How many items match and the first `limit`; see :meth:`gateway.search.Shelf.find`."""
        found = self._shelves[tenant].find(query, category) if tenant in self._shelves else []
        return len(found), found[:limit]

    def categories(self, tenant: str) -> dict[str, int]:
        """Category paths and how many items each holds, by name."""
        return self._shelves[tenant].categories() if tenant in self._shelves else {}

    def entry(self, tenant: str, item_id: str) -> Entry | None:
        """What is known of an item."""
        return self._entries.get(message_key(tenant, item_id))

    def shown(self, item: CatalogItem) -> dict[str, Any]:
        """The item as JSON for a browser: pictures that it can load, and nothing that is the shop's own business.

        Left out: what the shop paid, what its campaigns bid, addresses of this machine's files.
        """
        shown: dict[str, Any] = msgspec.to_builtins(item)
        for name in _PRIVATE:
            shown.pop(name, None)
        urls = [url for image in item.images if (url := self.picture_url(image.uri)) is not None]
        shown["images"] = [{"uri": url} for url in urls]
        shown["image_url"] = urls[0] if urls else None
        shown["is_in_stock"] = item.is_in_stock
        return shown

    def picture_url(self, uri: str) -> str | None:
        """Address of a picture for a browser, or None for a file outside the served folders."""
        if uri.startswith(("https://", "http://", "data:image/")):
            return uri
        if not uri.startswith("file:"):
            return None
        try:
            path = "/" + unquote(urlsplit(uri).path)
        except ValueError:  # an address in brackets that is none
            return None
        for folder, address in self._pictures.items():  # wherever `var` is
            _, found, name = path.rpartition(f"/{folder}/")
            if found:
                return f"{address}/{quote(name)}"
        return None

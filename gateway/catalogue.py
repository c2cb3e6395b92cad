"""The catalogue as the gateway sees it: what was published, what is eligible since when, and a search over titles."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from contracts.catalog import CatalogItem, decode_item
from contracts.errors import ContractError
from contracts.keys import message_key, split_key
from gateway.follower import Followed
from gateway.metrics import GatewayMetrics

_WORD = re.compile(r"\w+", re.UNICODE)


class _Eligibility(msgspec.Struct):
    """The few fields of an embedding record that the gateway needs; vectors are skipped."""

    created_time: int = 0
    model_version: int = 0
    missing_modalities: tuple[str, ...] = ()
    source_partition: int = -1
    source_offset: int = -1
    item: CatalogItem | None = None


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
        self._words: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._sorted: dict[str, list[str]] = {}

    def take_item(self, record: Followed) -> None:
        """One record of the catalogue topic."""
        if record.key is None:
            return
        if record.value is None:
            self._unlist(record.key)
            self._entries.pop(record.key, None)
        else:
            try:
                item = decode_item(record.value)
            except ContractError:
                return  # the catalogue agent keeps it as a dead letter
            self._unlist(record.key)
            entry = self._entries.setdefault(record.key, Entry())
            entry.item, entry.published_ms, entry.published_offset = item, record.timestamp, record.offset
            self._list(record.key, item)
        self._metrics.catalogue.set(len(self._entries))

    def take_embedding(self, record: Followed) -> None:
        """One record of the embeddings topic."""
        if record.key is None:
            return
        entry = self._entries.get(record.key)
        if record.value is None:
            if entry is not None:
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
            self._list(record.key, eligibility.item)

    # ---- search

    def _list(self, key: bytes, item: CatalogItem) -> None:
        tenant, item_id = split_key(key)
        words = self._words[tenant]
        for word in set(words_of(item.title)):
            if word not in words:
                self._sorted.pop(tenant, None)
            words[word].add(item_id)

    def _unlist(self, key: bytes) -> None:
        entry = self._entries.get(key)
        if entry is None or entry.item is None:
            return
        tenant, item_id = split_key(key)
        words = self._words[tenant]
        for word in set(words_of(entry.item.title)):
            words[word].discard(item_id)

    def _matching(self, tenant: str, query: str) -> set[str]:
        """Ids whose titles hold every word of the query, the last one also as a beginning."""
        asked = words_of(query)
        words = self._words[tenant]
        found: set[str] | None = None
        for index, word in enumerate(asked):
            ids = set(words.get(word, ()))
            if index == len(asked) - 1:
                ids |= set().union(*(words[name] for name in self._beginning(tenant, word)))
            found = ids if found is None else found & ids
        return found or set()

    def _beginning(self, tenant: str, start: str) -> Iterable[str]:
        names = self._sorted.get(tenant)
        if names is None:
            names = self._sorted[tenant] = sorted(self._words[tenant])
        position = bisect_left(names, start)
        while position < len(names) and names[position].startswith(start):
            yield names[position]
            position += 1

    def search(self, tenant: str, query: str, category: str, limit: int) -> tuple[int, list[CatalogItem]]:
        """How many items match and the first `limit`: best rated first, then by title.

        Args:
            tenant: whose catalogue.
            query: words that the title must hold; empty for all.
            category: full path or its beginning by whole steps (`Shoes` finds `Shoes > Running`); empty for all.
            limit: most items returned.
        """
        if words_of(query):
            entries = (self._entries.get(message_key(tenant, item_id)) for item_id in self._matching(tenant, query))
        else:
            prefix = message_key(tenant, "")
            entries = (entry for key, entry in self._entries.items() if key.startswith(prefix))
        found = [entry.item for entry in entries if entry is not None and entry.item is not None]
        if category:
            found = [item for item in found if any(is_within(path, category) for path in item.categories)]
        found.sort(key=lambda item: (not item.is_in_stock, -(item.rating.average_rating if item.rating else 0), item.title))
        return len(found), found[:limit]

    def categories(self, tenant: str) -> dict[str, int]:
        """Category paths and how many items each holds, by name."""
        prefix = message_key(tenant, "")
        counts: dict[str, int] = defaultdict(int)
        for key, entry in self._entries.items():
            if entry.item is not None and key.startswith(prefix):
                for path in entry.item.categories:
                    counts[path] += 1
        return dict(sorted(counts.items()))

    def entry(self, tenant: str, item_id: str) -> Entry | None:
        """What is known of an item."""
        return self._entries.get(message_key(tenant, item_id))

    def shown(self, item: CatalogItem) -> dict[str, Any]:
        """The item as JSON, with `image_url` that a browser can load; without addresses of this machine's files."""
        shown: dict[str, Any] = msgspec.to_builtins(item)
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
        path = "/" + unquote(urlsplit(uri).path)
        for folder, address in self._pictures.items():  # wherever `var` is
            _, found, name = path.rpartition(f"/{folder}/")
            if found:
                return f"{address}/{quote(name)}"
        return None


def words_of(text: str) -> list[str]:
    """Words of a text, case folded, in order."""
    return _WORD.findall(text.casefold())


def is_within(path: str, category: str) -> bool:
    """Whether a category path is the given one or below it."""
    return path == category or path.startswith(category + " > ")

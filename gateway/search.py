"""One tenant's items by the words of their titles and by category."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from contracts.catalog import CatalogItem

_WORD = re.compile(r"\w+", re.UNICODE)
_KEPT_RESULTS = 256


class Shelf:
    """Items by id, found by word, beginning of a word, and category; answers are kept until an item changes."""

    def __init__(self) -> None:
        self._items: dict[str, CatalogItem] = {}
        self._by_word: dict[str, set[str]] = defaultdict(set)
        self._by_category: dict[str, set[str]] = defaultdict(set)
        self._sorted_words: list[str] | None = None
        self._results: dict[tuple[str, str], list[CatalogItem]] = {}

    def put(self, item: CatalogItem) -> None:
        """Add an item or replace it."""
        self.remove(item.item_id)
        self._items[item.item_id] = item
        for word in set(words_of(item.title)):
            if word not in self._by_word:
                self._sorted_words = None
            self._by_word[word].add(item.item_id)
        for path in _ways_to(item):
            self._by_category[path].add(item.item_id)

    def remove(self, item_id: str) -> None:
        """Forget an item, if it is there."""
        self._results.clear()
        item = self._items.pop(item_id, None)
        if item is None:
            return
        for word in set(words_of(item.title)):
            self._by_word[word].discard(item_id)
            if not self._by_word[word]:
                del self._by_word[word]
                self._sorted_words = None
        for path in _ways_to(item):
            self._by_category[path].discard(item_id)
            if not self._by_category[path]:
                del self._by_category[path]

    def find(self, query: str, category: str) -> list[CatalogItem]:
        """Every item that fits, those in stock first, then the best rated, then by title.

        Args:
            query: words that the title must hold, the last one also as a beginning; empty for all.
            category: full path or its beginning by whole steps (`Shoes` finds `Shoes > Running`); empty for all.
        """
        asked = words_of(query)
        key = (" ".join(asked), category)
        if key not in self._results:
            if len(self._results) >= _KEPT_RESULTS:
                self._results.clear()
            ids = self._matching(asked) if asked else set(self._items)
            if category:
                ids &= self._by_category.get(category, set())
            self._results[key] = sorted((self._items[item_id] for item_id in ids), key=_order)
        return self._results[key]

    def categories(self) -> dict[str, int]:
        """Category paths that items name, with the number of items at or below each, by name."""
        return {path: len(self._by_category[path]) for path in sorted(self._by_category)}

    def _matching(self, asked: list[str]) -> set[str]:
        last = self._by_word.get(asked[-1], set()).union(*(self._by_word[word] for word in self._beginning(asked[-1])))
        return last.intersection(*(self._by_word.get(word, set()) for word in asked[:-1]))

    def _beginning(self, start: str) -> Iterator[str]:
        if self._sorted_words is None:
            self._sorted_words = sorted(self._by_word)
        position = bisect_left(self._sorted_words, start)
        while position < len(self._sorted_words) and self._sorted_words[position].startswith(start):
            yield self._sorted_words[position]
            position += 1


def _order(item: CatalogItem) -> tuple[bool, float, str]:
    return (not item.is_in_stock, -(item.rating.average_rating if item.rating else 0.0), item.title)


def _ways_to(item: CatalogItem) -> set[str]:
    """The item's category paths and every beginning of them."""
    ways: set[str] = set()
    for path in item.categories:
        steps = path.split(" > ")
        ways.update(" > ".join(steps[:length]) for length in range(1, len(steps) + 1))
    return ways


def words_of(text: str) -> list[str]:
    """Words of a text, case folded, in order."""
    return _WORD.findall(text.casefold())

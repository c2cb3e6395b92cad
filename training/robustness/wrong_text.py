"""Texts as people type them, and as a seller writes who wants to be found everywhere. Pure but for the generator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def typos(text: str, rng: np.random.Generator, chance: float = 0.2) -> str:
    """The text with a typing error in words of four letters or more, each with a chance: lost, doubled, wrong, swapped."""
    return " ".join(_mistyped(word, rng) if len(word) > 3 and rng.random() < chance else word for word in text.split())


def _mistyped(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word) - 1))
    return (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + _LETTERS[int(rng.integers(len(_LETTERS)))] + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )[int(rng.integers(4))]


def frequent_words(texts: Sequence[str], count: int) -> list[str]:
    """The words of four letters or more that most texts have, most frequent first."""
    found = Counter(word for text in texts for word in {part.strip(".,").lower() for part in text.split()} if len(word) > 3)
    return [word for word, _ in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:count]]


def stuffed(title: str, words: Sequence[str], times: int = 1) -> str:
    """A title with words put in front and behind it, each `times` times."""
    block = " ".join([*words] * times)
    return f"{block} {title} {block}"


TITLE_WORDS = 20
"""Words of a title that count for its meaning."""


def plain_title(title: str) -> str:
    """A title without stuffing: no word more than twice, whatever its case, and the first 20 of what is left."""
    seen: Counter[str] = Counter()
    kept = []
    for word in title.split():
        seen[word.casefold()] += 1
        if seen[word.casefold()] <= 2:
            kept.append(word)
    return " ".join(kept[:TITLE_WORDS])

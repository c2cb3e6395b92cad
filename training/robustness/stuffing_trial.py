"""Keyword stuffing: what a seller gains who writes other products' words into a title, and what a defence takes away again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.demo_clicks import Visit
from training.demo_pages import PLACES
from training.robustness.exposure import exposure
from training.robustness.served_shop import Encode, Served, ask
from training.robustness.wrong_text import frequent_words, plain_title, stuffed

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Attackers:
    """Products whose sellers stuff: seldom seen ones with clicks, and new ones."""

    known: Ints
    new: Ints

    @property
    def rows(self) -> Ints:
        """Both."""
        return np.concatenate((self.known, self.new))


def attackers(served: Served, each: int, seed: int) -> Attackers:
    """`each` open products of the less popular half with behaviour, and as many new ones without."""
    rng = np.random.default_rng(seed)
    popularity = np.array([fact.popularity for fact in served.facts])
    is_open, known = served.shelf.is_open, served.has[:, 2] > 0
    dull = np.flatnonzero(is_open & known & (popularity <= np.median(popularity)))
    new = np.flatnonzero(is_open & ~known)
    return Attackers(np.sort(rng.permutation(dull)[:each]), np.sort(rng.permutation(new)[:each]))


def attacks(served: Served) -> dict[str, Callable[[str], str]]:
    """Titles as written under each attack."""
    words = frequent_words([title_of(text) for text in served.texts], 12)
    popular = np.argsort([-fact.popularity for fact in served.facts])[:3]
    titles = [title_of(served.texts[row]) for row in popular]
    return {
        "12 frequent words": lambda title: stuffed(title, words),
        "12 frequent words, five times": lambda title: stuffed(title, words, 5),
        "titles of 3 popular products": lambda title: stuffed(title, titles),
    }


def title_of(text: str) -> str:
    """The title, with which a product's text begins."""
    return text.partition(". ")[0]


def run(
    served: Served, visits: Sequence[Visit], who: Attackers, encode: Encode, step: Callable[[str], None]
) -> list[dict[str, object]]:
    """The attackers' exposure on pages of 12 as a multiple of what they have without an attack, and the page's NDCG@10.

    Each attack is tried as it is, and against a defence (`plain_title`).
    """
    open_to = attacks(served)
    step("stuffing: none")
    honest = ask(served, visits)
    before = exposure(honest.pages(PLACES), len(served.texts))
    rows = [_row("none", "", before, before, who, honest.ndcg())]
    for name, write in open_to.items():
        for defence in ("", "defended"):
            step(f"stuffing: {name} {defence}")
            texts = []
            for row in who.rows:
                title, dot, rest = served.texts[row].partition(". ")
                written = write(title)
                texts.append((plain_title(written) if defence else written) + dot + rest)
            asked = ask(served.with_text(who.rows, encode(texts)), visits)
            after = exposure(asked.pages(PLACES), len(served.texts))
            rows.append(_row(name, defence, before, after, who, asked.ndcg()))
    return rows


def _row(
    attack: str, defence: str, before: NDArray[np.float64], after: NDArray[np.float64], who: Attackers, ndcg: float
) -> dict[str, object]:
    groups = {"known": who.known, "new": who.new}
    return {
        "attack": attack,
        "defence": defence,
        "lift": {name: float(after[rows].sum() / max(before[rows].sum(), 1e-9)) for name, rows in groups.items()},
        "share": {name: float(after[rows].sum() / after.sum()) for name, rows in groups.items()},
        "catalogue_share": {name: len(rows) / len(after) for name, rows in groups.items()},
        "ndcg@10": ndcg,
    }

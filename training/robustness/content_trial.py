"""Quality when some products' texts or pictures are wrong, for products with clicks and for new ones without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.demo_clicks import Visit
from training.demo_metrics import recall_mrr
from training.demo_pictures import encode_pictures
from training.robustness.served_shop import Encode, Served, ask
from training.robustness.wrong_pictures import blurred, noisy, occluded
from training.robustness.wrong_text import typos
from training.small.augment_content import drop_words

Ints = NDArray[np.int64]
Step = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What is changed and what is asked.

    Attributes:
        served: the shop.
        visits: test visits.
        rows: int64 [m], the products whose content is changed.
        encode: the text encoder.
        seed: of the changes.
    """

    served: Served
    visits: Sequence[Visit]
    rows: Ints
    encode: Encode
    seed: int = 0


def chosen_rows(served: Served, count: int, seed: int) -> Ints:
    """All new products and as many of the others as make `count`."""
    new = np.flatnonzero(served.shelf.is_new)
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~served.shelf.is_new))
    return np.sort(np.concatenate((new, others[: max(0, count - len(new))])))


def conditions(trial: Trial) -> dict[str, Callable[[], Served]]:
    """Changed shops by name."""
    served, rows, rng = trial.served, trial.rows, np.random.default_rng(trial.seed)

    def texts(change: Callable[[str], str]) -> Served:
        return served.with_text(rows, trial.encode([change(served.texts[row]) for row in rows]))

    def pictures(pixels: NDArray[np.uint8]) -> Served:
        changed = served.image.copy()
        changed[rows] = encode_pictures(served.artefact.image, pixels).numpy()
        return replace(served, image=changed)

    def without(modality: int) -> Served:
        has = served.has.copy()
        has[rows, modality] = 0.0
        return replace(served, has=has)

    own = served.pixels[rows]
    return {
        "clean": lambda: served,
        "text: typos in 20 % of the words": lambda: texts(lambda text: typos(text, rng, 0.2)),
        "text: typos in 50 %": lambda: texts(lambda text: typos(text, rng, 0.5)),
        "text: 20 % of the words lost": lambda: texts(lambda text: drop_words(text, rng, 0.2)),
        "text: 50 % lost": lambda: texts(lambda text: drop_words(text, rng, 0.5)),
        "text: none": lambda: without(0),
        "picture: noise of 25 levels": lambda: pictures(noisy(own, rng, 25.0)),
        "picture: noise of 50 levels": lambda: pictures(noisy(own, rng, 50.0)),
        "picture: blurred by 1 pixel": lambda: pictures(blurred(own, 1.0)),
        "picture: blurred by 2 pixels": lambda: pictures(blurred(own, 2.0)),
        "picture: a quarter hidden": lambda: pictures(occluded(own, rng, 0.25)),
        "picture: half hidden": lambda: pictures(occluded(own, rng, 0.5)),
        "picture: none": lambda: without(1),
    }


def run(trial: Trial, step: Step) -> list[dict[str, object]]:
    """Recall@20 and MRR@20 of clicks on the changed products, and the page's NDCG@10 over all clicks, by condition."""
    new = trial.served.shelf.is_new
    rows: list[dict[str, object]] = []
    for name, make in conditions(trial).items():
        step(name)
        asked = ask(make(), trial.visits)
        changed = np.isin(asked.targets, trial.rows)
        known, fresh = changed & ~new[asked.targets], changed & new[asked.targets]
        rows.append(
            {
                "condition": name,
                "known": recall_mrr(asked.found[known]),
                "new": recall_mrr(asked.found[fresh]),
                "ndcg@10": asked.ndcg(),
            }
        )
    return rows

"""Trains the peers on one log and ranks its test part; ranks are kept on disk, so a finished peer is not repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.sessions.data import Dataset
from training.sessions.encoder_training import Tick, fingerprint, silent
from training.sessions.peers.factors import als_ranks, cosine_ranks
from training.sessions.peers.sasrec import SasrecRecipe, sasrec_ranks, train_sasrec

Ranks = NDArray[np.float64]


@dataclass(frozen=True)
class PeerRanks:
    """What a peer reached.

    Attributes:
        ranks: of the test targets, float64 [N].
        minutes: of processor time, training and ranking.
        epochs: of gradient descent; 0 where there are none.
    """

    ranks: Ranks
    minutes: float
    epochs: int = 0


def _kept(path: Path, about: str) -> PeerRanks | None:
    """A finished peer of the same log and recipe."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if str(file["about"]) != about:
            return None
        return PeerRanks(file["ranks"], float(file["minutes"]), int(file["epochs"]))


def peers(data: Dataset, folder: Path, recipe: SasrecRecipe, minutes: float, tick: Tick = silent) -> dict[str, PeerRanks]:
    """SASRec and implicit's ALS and item-KNN, learned from the final model's sessions.

    Args:
        data: the log.
        folder: where each peer's ranks are kept; those of another log or recipe are made again.
        recipe: of SASRec; its seed is ALS's too.
        minutes: of processor time after which SASRec begins no further epoch.
        tick: told how far it is.
    """
    about = f"log {fingerprint(data.full, [data.test.targets])}, {recipe}, {minutes} minutes"
    mask = data.mask_seen

    def sasrec() -> tuple[Ranks, int]:
        model, epochs = train_sasrec(data.full, data.items, recipe, minutes, lambda share: tick("peers", 0.9 * share, "SASRec"))
        return sasrec_ranks(model, data.test, mask_seen=mask), epochs

    methods: dict[str, Callable[[], tuple[Ranks, int]]] = {
        "SASRec": sasrec,
        "ALS (implicit)": lambda: (als_ranks(data.full, data.test, data.items, mask_seen=mask, seed=recipe.seed), 0),
        "item-KNN (implicit)": lambda: (cosine_ranks(data.full, data.test, data.items, mask_seen=mask), 0),
    }
    found: dict[str, PeerRanks] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, method in methods.items():
        path = folder / f"{name.split(' (')[0]}.npz"
        before = _kept(path, about)
        if before is None:
            began = time.process_time()
            ranks, epochs = method()
            before = PeerRanks(ranks, (time.process_time() - began) / 60, epochs)
            np.savez(path, ranks=ranks, minutes=before.minutes, epochs=epochs, about=about)
        found[name] = before
        tick("peers", 0.9 + 0.1 * len(found) / len(methods), name)
    return found

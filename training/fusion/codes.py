"""Content as quantiser codes: a folder with histories and, for each item, a few codes of its text and of its picture.

`sequences.txt.gz` holds histories as `training.sessions.data.read_histories` reads them; `text_codes.tsv.gz` and
`image_codes.tsv.gz` hold an item and its codes, coarse to fine, in each line (residual quantisation: each code refines
what the codes before it left over).
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigurationError
from training.sessions.data import Dataset, Ints, read_histories

HIDDEN_SHARE = 15
"""Percent of the items that the cold table hides."""


@dataclass(frozen=True)
class Histories:
    """Histories with content.

    Attributes:
        data: the log with its split.
        text: int64 [n, 4], codes of each item's text.
        image: int64 [n, 4], of its picture.
        hidden: bool [n], items that no training history holds although their users touched them.
    """

    data: Dataset
    text: Ints
    image: Ints
    hidden: NDArray[np.bool_]

    @property
    def counts(self) -> Ints:
        """How often training saw each item, int64 [n]."""
        return np.bincount(np.concatenate(self.data.fit), minlength=self.data.items)


def read_codes(path: Path, ids: Ints) -> Ints:
    """Codes of the items `ids` (sorted), int64 [n, codes].

    Raises:
        ConfigurationError: if the file is missing, a line is wrong, or an item has no codes.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [[int(word) for word in line.split()] for line in lines]
    except FileNotFoundError as error:
        message = f"--data: {path} does not exist"
        raise ConfigurationError(message) from error
    except ValueError as error:
        message = f"{path}: {error}, expected an item and its codes, whole numbers, in each line"
        raise ConfigurationError(message) from error
    widths = {len(row) for row in rows}
    if len(widths) != 1 or min(widths) < 2:
        message = f"{path}: lines of {sorted(widths)} numbers, expected an item and as many codes in each line"
        raise ConfigurationError(message)
    known = {row[0]: row[1:] for row in rows}
    missing = [int(item) for item in ids if int(item) not in known]
    if missing:
        message = f"{path}: no codes for {len(missing)} of {len(ids)} items, such as {missing[:3]}"
        raise ConfigurationError(message)
    return np.array([known[int(item)] for item in ids], dtype=np.int64)


def read(folder: Path) -> Histories:
    """Histories and codes of a folder, nothing hidden.

    Raises:
        ConfigurationError: as :func:`read_codes`, and as `read_histories`.
    """
    data = replace(read_histories(folder / "sequences.txt.gz"), name=folder.name)
    text, image = (read_codes(folder / f"{name}_codes.tsv.gz", data.ids) for name in ("text", "image"))
    return Histories(data, text, image, np.zeros(data.items, dtype=bool))


def hide_items(whole: Histories, percent: int = HIDDEN_SHARE) -> Histories:
    """The same histories as if some items, chosen by the hash of their number, had just arrived.

    They leave the training histories. The prefixes of the test keep them: a shop sees its visitors touch new items.
    """
    hidden = np.array([zlib.crc32(f"cold {item}".encode()) % 100 < percent for item in whole.data.ids.tolist()])
    fit = [history[~hidden[history]] for history in whole.data.fit]
    fit = [history for history in fit if len(history) > 1]
    kept = whole.data.validation.pick(np.flatnonzero(~hidden[whole.data.validation.targets]))
    return replace(whole, data=replace(whole.data, fit=fit, full=fit, validation=kept), hidden=hidden)

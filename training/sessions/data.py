"""Logs of sessions and of user histories, read and split by the protocol of the benchmark papers.

A folder of sessions holds train.txt.gz (one session a line, item numbers separated by spaces, sessions in the order of
time) and test.txt.gz (`target<TAB>prefix`). A file of histories holds a user and then the user's items in the order of
time. Items become rows 0 … n-1 of those that the training part knows; an unknown target is row -1, which counts as a miss.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigurationError

Ints = NDArray[np.int64]

VALIDATION_SHARE = 0.1
LONGEST = 50
"""Newest clicks of a prefix that the models look at."""


@dataclass(frozen=True)
class Queries:
    """Prefixes and what came next.

    Attributes:
        items: int64 [N, T], newest last, padded with -1 in front.
        targets: int64 [N], -1 if training never saw the item.
    """

    items: Ints
    targets: Ints

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def lengths(self) -> Ints:
        """Clicks of each prefix, int64 [N]."""
        return np.asarray((self.items >= 0).sum(axis=1), dtype=np.int64)

    def pick(self, rows: Ints) -> Queries:
        """Some of the queries."""
        return Queries(self.items[rows], self.targets[rows])


@dataclass(frozen=True)
class Dataset:
    """A log with its split.

    Attributes:
        name: of the folder or file.
        ids: the items' numbers in the files, by row.
        fit: sessions that choose the weights while a validation slice is held out.
        full: sessions of the final model: all of training for sessions; `fit` again for histories, whose published
            figures never train on the validation item.
        validation: queries of the validation slice.
        test: queries of the test part.
        mask_seen: whether items of the prefix may not be recommended.
    """

    name: str
    ids: Ints
    fit: list[Ints]
    full: list[Ints]
    validation: Queries
    test: Queries
    mask_seen: bool

    @property
    def items(self) -> int:
        """Number n of items."""
        return len(self.ids)


def pad(prefixes: Sequence[Ints], targets: Sequence[int], longest: int = LONGEST) -> Queries:
    """Queries of prefixes, cut to their newest clicks."""
    width = max(1, min(longest, max((len(prefix) for prefix in prefixes), default=1)))
    items = np.full((len(prefixes), width), -1, dtype=np.int64)
    for row, prefix in enumerate(prefixes):
        newest = prefix[-width:]
        if len(newest):
            items[row, -len(newest) :] = newest
    return Queries(items, np.asarray(targets, dtype=np.int64))


def prefixes_of(sessions: Sequence[Ints]) -> Queries:
    """Every prefix of every session with the click that followed."""
    prefixes = [session[:end] for session in sessions for end in range(1, len(session))]
    return pad(prefixes, [int(session[end]) for session in sessions for end in range(1, len(session))])


def _lines(path: Path, option: str) -> Iterator[tuple[int, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            yield from enumerate((line.rstrip("\n") for line in lines), start=1)
    except FileNotFoundError as error:
        message = f"{option}: {path} does not exist"
        raise ConfigurationError(message) from error


def _numbers(text: str, path: Path, line: int) -> list[int]:
    try:
        return [int(word) for word in text.split()]
    except ValueError as error:
        message = f"{path}, line {line}: {text[:60]!r}, expected item numbers separated by spaces"
        raise ConfigurationError(message) from error


def _rows_of(known: Ints, numbers: Sequence[int]) -> Ints:
    """Rows of item numbers in the sorted `known`, -1 for others."""
    wanted = np.asarray(numbers, dtype=np.int64)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, places, -1)


def read_sessions(folder: Path) -> Dataset:
    """Read a folder of sessions; the last tenth of the training sessions is the validation slice.

    Raises:
        ConfigurationError: if a file is missing or wrong, or there are fewer than ten training sessions.
    """
    raw = [_numbers(line, folder / "train.txt.gz", at) for at, line in _lines(folder / "train.txt.gz", "--data")]
    raw = [session for session in raw if len(session) > 1]
    if len(raw) < 10:
        message = f"--data: {folder / 'train.txt.gz'} holds {len(raw)} sessions of two clicks or more, expected 10 or more"
        raise ConfigurationError(message)
    ids = np.unique(np.concatenate([np.asarray(session, dtype=np.int64) for session in raw]))
    full = [_rows_of(ids, session) for session in raw]
    fit = full[: len(full) - max(1, int(len(full) * VALIDATION_SHARE))]
    prefixes, targets = [], []
    for at, line in _lines(folder / "test.txt.gz", "--data"):
        target, _, prefix = line.partition("\t")
        numbers = _numbers(f"{target} {prefix}", folder / "test.txt.gz", at)
        rows = _rows_of(ids, numbers)
        targets.append(int(rows[0]))
        prefixes.append(rows[1:][rows[1:] >= 0])
    return Dataset(folder.name, ids, fit, full, prefixes_of(full[len(fit) :]), pad(prefixes, targets), mask_seen=False)


def read_histories(path: Path) -> Dataset:
    """Read a file of user histories: the last item is the test, the one before the validation target.

    Raises:
        ConfigurationError: if the file is missing or wrong, or holds fewer than ten histories of three items.
    """
    raw = [_numbers(line, path, at)[1:] for at, line in _lines(path, "--data")]
    raw = [history for history in raw if len(history) > 2]
    if len(raw) < 10:
        message = f"--data: {path} holds {len(raw)} histories of three items or more, expected 10 or more"
        raise ConfigurationError(message)
    ids = np.unique(np.concatenate([np.asarray(history, dtype=np.int64) for history in raw]))
    rows = [_rows_of(ids, history) for history in raw]
    fit = [history[:-2] for history in rows if len(history) > 3]
    validation = pad([history[:-2] for history in rows], [int(history[-2]) for history in rows])
    test = pad([history[:-1] for history in rows], [int(history[-1]) for history in rows])
    return Dataset(path.name.split(".")[0], ids, fit, fit, validation, test, mask_seen=True)

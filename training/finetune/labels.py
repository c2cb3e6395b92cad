"""Few labels: a classifier over frozen towers, pseudo-labels by self-training, and a shop's own file of labels."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from contracts.errors import ConfigurationError
from training.distributed import World
from training.finetune.data import Ints, Items
from training.finetune.model import Classifier
from training.finetune.recipe import Recipe, Towers
from training.finetune.run import Bases, open_towers

Floats = NDArray[np.float32]
HEAD = ("id", "label")
WIDTH = 64
"""Main axes of the catalogue that are kept: labels are too few for more."""
STRENGTH = 30.0
"""Inverse regularisation: features are of unit length, so a confident answer needs long weights."""


def features_of(items: Items, towers: Towers, bases: Bases, cache: Path) -> Floats:
    """What frozen towers see of each item: unit vectors float32 [n, W], W ≤ 64, on the main axes of all the items.

    Args:
        items: with photos if a picture tower is wanted.
        towers: which.
        bases: where they come from.
        cache: folder that keeps the vectors for the next call with the same items and towers.
    """
    name = f"{items.fingerprint():08x}-{towers}-{Path(bases.text_encoder).name}-{Path(bases.image_encoder).name}.safetensors"
    path = cache / name
    if not path.exists():
        model = Classifier(open_towers(towers, bases), 2, Recipe(mode="frozen", towers=towers))
        model.read(items)
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({"features": model.encode(np.arange(len(items)), World()).numpy()}, part)
        part.replace(path)
    features = load_file(path)["features"]
    axes = PCA(min(WIDTH, *features.shape), svd_solver="covariance_eigh")
    main = axes.fit_transform(features)
    result: Floats = (main / np.maximum(np.linalg.norm(main, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return result


def classifier() -> LogisticRegression:
    """The judge of few labels: multinomial logistic regression over the towers' vectors."""
    return LogisticRegression(C=STRENGTH, max_iter=100, tol=1e-3)


def self_trained(features: Floats, labels: Ints, threshold: float, rounds: int = 5) -> tuple[LogisticRegression, Ints]:
    """A classifier that also learns from its own confident answers (Yarowsky, 1995).

    Each round, unlabelled items whose likeliest class has at least the threshold's probability get that class as label.

    Args:
        features: [n, W].
        labels: int64 [n], -1 where there is none; at least two classes.
        threshold: from 0, below 1.
        rounds: at most.

    Returns:
        The classifier, and labels int64 [n]: given ones, pseudo-labels, and -1 where it never was sure.
    """
    taught = SelfTrainingClassifier(classifier(), threshold=threshold, max_iter=rounds).fit(features, labels)
    return taught.estimator_, np.asarray(taught.transduction_, dtype=np.int64)


def read_labels(path: Path) -> dict[str, str]:
    """Labels by item id from a CSV file with the columns `id` and `label`; an empty label counts as none.

    Raises:
        ConfigurationError: naming the line that has another shape, or an id with two labels.
    """
    found: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        if tuple(next(rows, ())[:2]) != HEAD:
            message = f"--labels: {path} must begin with the line `id,label`"
            raise ConfigurationError(message)
        for row in rows:
            if len(row) < 2 or found.get(row[0], row[1]) != row[1]:
                what = "has no label column" if len(row) < 2 else f"gives {row[0]!r} a second label {row[1]!r}"
                message = f"--labels: {path}, line {rows.line_num}: {what}, expected one line `id,label` an item"
                raise ConfigurationError(message)
            if row[1]:
                found[row[0]] = row[1]
    return found


def relabelled(items: Items, labels: dict[str, str]) -> Items:
    """Items with these labels instead of the catalogue's.

    Raises:
        ConfigurationError: if an id is not in the catalogue, or the labels are all alike.
    """
    unknown = sorted(labels.keys() - set(items.ids))
    if unknown:
        message = f"--labels: {len(unknown)} ids are not in the catalogue, such as {unknown[0]!r}"
        raise ConfigurationError(message)
    classes = tuple(sorted(set(labels.values())))
    if len(classes) < 2:
        counts = dict(Counter(labels.values()))
        message = f"--labels: labels of at least two classes are needed, found {counts}"
        raise ConfigurationError(message)
    rows = {name: row for row, name in enumerate(classes)}
    numbers = np.array([rows[labels[number]] if number in labels else -1 for number in items.ids], dtype=np.int64)
    return replace(items, labels=numbers, classes=classes)

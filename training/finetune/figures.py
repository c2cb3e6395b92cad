"""Figures of a classifier on a part of the items, from scikit-learn's classification report."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.metrics import classification_report, f1_score
from torch import Tensor
from torch.nn import functional

from training.finetune.data import Ints, Items


def assess(logits: Tensor, items: Items, rows: Ints) -> dict[str, Any]:
    """Loss, accuracy, F1 and the report by class.

    Args:
        logits: [n, C].
        items: labelled ones.
        rows: int64 [n], whose logits these are.

    Returns:
        `loss`, `accuracy`, `macro_f1` (mean over the classes that occur in the part), `weighted_f1` (weighted by their
        items), `items`, and `classes`: precision, recall, F1 and items by class name.
    """
    truth = items.labels[rows]
    guessed = logits.argmax(-1).numpy()
    present = np.unique(truth)
    report: dict[str, Any] = classification_report(
        truth,
        guessed,
        labels=present,
        target_names=[items.classes[number] for number in present],
        output_dict=True,
        zero_division=0,
    )
    return {
        "loss": float(functional.cross_entropy(logits, torch.from_numpy(truth))),
        "accuracy": float((truth == guessed).mean()),
        "macro_f1": float(f1_score(truth, guessed, labels=present, average="macro", zero_division=0)),
        "weighted_f1": float(report["weighted avg"]["f1-score"]),
        "items": len(rows),
        "classes": {items.classes[number]: report[items.classes[number]] for number in present},
    }

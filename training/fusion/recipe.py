"""How the fused model of histories is trained."""

from __future__ import annotations

from dataclasses import dataclass

MODALITIES = ("text", "image", "ids")


@dataclass(frozen=True)
class FusedRecipe:
    """Sizes and steps; chosen on the validation items, the same for every row of a table.

    Attributes:
        modalities: which of `MODALITIES` the items have.
        dim: D of item vectors and session encoder.
        code_width: width of a code's vector.
        code_dropout: chance that a code is dropped from an item while training.
        modality_dropout: chance that a modality is hidden from an item while training.
        dropout: on item vectors and before the query.
        targets: next items of a step.
        negatives: shared draws of a step.
        epochs: at most.
        patience: epochs without a gain on the validation items after which it ends.
        learning_rate: highest rate of Adam.
        clip: longest gradient.
        seed: of weights, order, draws and dropout.
    """

    modalities: tuple[str, ...] = MODALITIES
    dim: int = 100
    code_width: int = 128
    code_dropout: float = 0.2
    modality_dropout: float = 0.25
    dropout: float = 0.25
    targets: int = 2048
    negatives: int = 2048
    epochs: int = 14
    patience: int = 2
    learning_rate: float = 5e-3
    clip: float = 5.0
    seed: int = 0

    @property
    def label(self) -> str:
        """Name of the modalities, as in the tables."""
        return "+".join(sorted(self.modalities, key=("ids", "text", "image").index))

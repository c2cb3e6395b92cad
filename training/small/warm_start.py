"""Warm start: a new shop begins with the encoder of a bigger one, and with item vectors guessed from the items' texts.

The encoder knows how sessions go on; it needs item vectors of its own space. A bridge, a ridge regression from content
vectors (text, picture) to the bigger shop's learned item vectors, places items that nobody has clicked yet.

Shapes: n items, C width of the content vectors, D width of the item vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.sessions.encoder import SessionModel

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bridge:
    """Guesses item vectors from content.

    Attributes:
        mean: [C] of the content vectors that it learned from.
        weights: [C, D].
        offset: [D].
    """

    mean: Floats
    weights: Floats
    offset: Floats

    @classmethod
    def learn(cls, content: Floats, vectors: Floats, counts: NDArray[np.float64], strength: float = 1.0) -> Bridge:
        """Ridge regression from content [n, C] to unit vectors [n, D]; an item weighs log(1 + its clicks).

        Args:
            content: of the bigger shop's items.
            vectors: unit vectors that its encoder learned.
            counts: clicks of each item [n]; those without any do not count.
            strength: of the ridge, as a share of the mean variance of the content.
        """
        weight = np.log1p(counts)[:, None]
        mean, offset = ((weight * values).sum(0) / weight.sum() for values in (content, vectors))
        x, y = content - mean, vectors - offset
        gram = (weight * x).T @ x
        ridge = strength * np.trace(gram) / len(gram) * np.eye(len(gram))
        solved = np.linalg.solve(gram + ridge, (weight * x).T @ y)
        return cls(mean.astype(np.float32), solved.astype(np.float32), offset.astype(np.float32))

    def place(self, content: Floats) -> Floats:
        """Unit vectors [n, D] of items by their content [n, C]."""
        guessed = (content - self.mean) @ self.weights + self.offset
        return np.asarray(guessed / np.maximum(np.linalg.norm(guessed, axis=1, keepdims=True), 1e-6), dtype=np.float32)


@torch.no_grad()
def warm(model: SessionModel, donor: SessionModel, vectors: Floats) -> SessionModel:
    """Start a model from the bigger shop's encoder and guessed item vectors [n, D], in place.

    Raises:
        ValueError: if the vectors are not one for each item of the model, or of another width.
    """
    if vectors.shape != tuple(model.vectors.shape):
        message = f"vectors are {vectors.shape}, expected {tuple(model.vectors.shape)}"
        raise ValueError(message)
    model.encoder.load_state_dict(donor.encoder.state_dict())
    # As long as those of a trained model: the optimiser's first steps turn them as far as they would turn the donor's.
    model.vectors.copy_(torch.from_numpy(vectors) * donor.vectors.norm(dim=1).mean())
    return model

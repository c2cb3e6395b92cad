"""From an artefact to a model that goes on learning, and back: an accepted update is a new artefact folder, whole or none."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.errors import ConfigurationError
from fusion import artefact as artefacts
from fusion import checkpoint
from fusion.artefact import Artefact
from training.continual.growth import ItemRows
from training.sessions.encoder import EncoderRecipe, SessionModel

Floats = NDArray[np.float32]


def has_content(artefact: Artefact) -> bool:
    """Whether its item vectors come from texts or pictures too; then they are not the learner's to change."""
    return bool(artefact.fusion.enabled[:2].any())


def begin(
    artefact: Artefact, rows: ItemRows, vectors: Mapping[int, Floats] | None = None
) -> tuple[SessionModel, EncoderRecipe]:
    """The artefact's encoder over item vectors; rows are taken for all of them.

    Args:
        artefact: what serves.
        rows: rows of item keys, as remembered or empty.
        vectors: fused vectors [D] by item key, as `shop.item_embeddings.v1` has them; None takes the behaviour vectors.

    Raises:
        ConfigurationError: if there is no vector at all, or they have another width.
    """
    found = dict(zip(artefact.keys.tolist(), artefact.vectors, strict=True)) if vectors is None else vectors
    dim = artefact.session_config.dim
    wrong = next((vector.shape for vector in found.values() if vector.shape != (dim,)), None)
    if not found or wrong:
        message = f"artefact {artefact.name}: {wrong or 'no'} item vectors, expected vectors of width {dim}"
        raise ConfigurationError(message)
    for key in found:
        rows.keys.setdefault(int(key), len(rows.keys))
    recipe = replace(EncoderRecipe(), dim=dim, dropout=artefact.session_config.dropout)
    model = SessionModel(len(rows), recipe)
    model.encoder = copy.deepcopy(artefact.session)
    with torch.no_grad():
        for key, vector in found.items():
            model.vectors[rows.keys[int(key)]] = torch.from_numpy(np.array(vector, dtype=np.float32))
    return model.eval(), recipe


def artefact_of(base: Artefact, model: SessionModel, rows: ItemRows, version: int, metrics: dict[str, Any]) -> Artefact:
    """The base with the learned encoder and, if it serves by behaviour alone, the learned item vectors."""
    made = copy.deepcopy(base)
    made.session.load_state_dict(model.encoder.state_dict())
    made.version, made.metrics = version, {**base.metrics, "continual": metrics}
    if not has_content(base):
        made.keys = np.array(list(rows.keys)[: len(model.vectors)], dtype=np.int64)
        made.vectors = np.ascontiguousarray(model.vectors.detach().numpy())
    return made


def newest(root: Path) -> int | None:
    """The highest version in a folder of versions."""
    found = [int(path.name) for path in root.glob("*") if path.name.isdigit() and (path / checkpoint.MANIFEST).exists()]
    return max(found, default=None)


def publish(made: Artefact, root: Path) -> Path:
    """Write `root/<version>/`; a reader sees the whole folder or none.

    Raises:
        ConfigurationError: if the version is there already.
    """
    target, part = root / str(made.version), root / f".{made.version}.part"
    if target.exists():
        message = f"{target} is there already: a version is written once"
        raise ConfigurationError(message)
    if part.exists():  # what a kill left behind
        shutil.rmtree(part)
    artefacts.save(made, part)
    part.rename(target)
    return target

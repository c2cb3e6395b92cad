"""Where the exported model lies and what its manifest says."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from contracts.errors import ConfigurationError
from contracts.settings import ROOT

VARIABLE = "VITRINE_MODEL_DIR"


def model_folder() -> Path:
    """The folder of the exported model: `VITRINE_MODEL_DIR`, else `var/models/demo` under the root."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else ROOT / "var" / "models" / "demo"


@dataclass(frozen=True)
class Manifest:
    """What serving needs to know of the model.

    Attributes:
        version: number of the trained model.
        dim: D, width of item vectors.
        state_width: S, width of a session's state.
        ring: W, newest items that the encoder attends to.
        image_size: pixels of a side that the picture network takes.
        max_tokens: tokens of a text that the text network takes; the rest is cut off.
        files: SHA-256 of each file of weights.
    """

    version: int
    dim: int
    state_width: int
    ring: int
    image_size: int
    max_tokens: int
    files: dict[str, str]


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`.

    Raises:
        ConfigurationError: if it is missing or a field is.
    """
    file = folder / "manifest.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return Manifest(
            version=int(values["version"]),
            dim=int(values["dim"]),
            state_width=int(values["state_width"]),
            ring=int(values["ring"]),
            image_size=int(values["image_size"]),
            max_tokens=int(values.get("max_tokens", 64)),
            files=dict(values.get("files", {})),
        )
    except OSError as error:
        message = f"{VARIABLE}={folder}: manifest.json cannot be read ({error.strerror}); export a model there first"
        raise ConfigurationError(message) from error
    except (KeyError, TypeError, ValueError) as error:
        message = f"{file}: {type(error).__name__}: {error}"
        raise ConfigurationError(message) from error


@dataclass(frozen=True)
class Behaviour:
    """Vectors learnt from clicks, by item key.

    Attributes:
        rows: row of an item key.
        vectors: float32 [n + 1, D]; the last row, for unknown items, is zero.
    """

    rows: dict[int, int]
    vectors: NDArray[np.float32]

    def look_up(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors [B, D] of items [B], zeros where unknown, and which are known [B]."""
        unknown = len(self.vectors) - 1
        rows = np.array([self.rows.get(key, unknown) for key in keys.tolist()], np.int64)
        return self.vectors[rows], rows != unknown


def load_behaviour(folder: Path, manifest: Manifest) -> Behaviour:
    """Read `behaviour.safetensors`, whose hash the manifest holds.

    Raises:
        ConfigurationError: if it is missing, is not the file that was trained, or has another width.
    """
    file = folder / "behaviour.safetensors"
    try:
        content = file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error
    wanted, found = manifest.files.get(file.name), hashlib.sha256(content).hexdigest()
    if wanted is not None and wanted != found:
        message = f"{file}: SHA-256 is {found}, the manifest says {wanted}"
        raise ConfigurationError(message)
    tensors = load_file(file)
    vectors = tensors["vectors"].astype(np.float32, copy=False)
    if vectors.ndim != 2 or vectors.shape[1] != manifest.dim:
        message = f"{file}: vectors are {list(vectors.shape)}, expected [n, {manifest.dim}]"
        raise ConfigurationError(message)
    rows = {int(key): row for row, key in enumerate(tensors["keys"].tolist())}
    return Behaviour(rows, np.concatenate((vectors, np.zeros((1, manifest.dim), np.float32))))

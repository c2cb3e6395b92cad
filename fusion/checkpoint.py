"""Artefacts on disk: safetensors files and a manifest with their SHA-256; nothing is ever unpickled. NumPy only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from contracts.errors import ConfigurationError

MANIFEST = "manifest.json"
Tensors = Mapping[str, NDArray[Any]]


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def save(folder: Path, manifest: Mapping[str, Any], groups: Mapping[str, Tensors]) -> dict[str, Any]:
    """Write one safetensors file per group and the manifest, last, with the hashes of all.

    Args:
        folder: created if missing; a group that is there already is replaced.
        manifest: everything but `files`.
        groups: tensors by group name; group `image` becomes `image.safetensors`.

    Returns:
        The manifest as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for group, tensors in sorted(groups.items()):
        content = save_tensors({name: np.ascontiguousarray(array) for name, array in tensors.items()})
        (folder / f"{group}.safetensors").write_bytes(content)
        files[f"{group}.safetensors"] = sha256(content)
    written = {**manifest, "files": files}
    (folder / MANIFEST).write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return written


def load_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest alone.

    Raises:
        ConfigurationError: if it is missing, is not JSON, or names no files.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"no artefact in {folder}: expected {MANIFEST} there; `vitrine train demo` writes one"
        raise ConfigurationError(message) from error
    except ValueError as error:
        message = f"{path}: not JSON ({error})"
        raise ConfigurationError(message) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        message = f"{path}: expected an object with `files`, a mapping of file name to SHA-256"
        raise ConfigurationError(message)
    return manifest


def load_group(folder: Path, manifest: Mapping[str, Any], group: str) -> dict[str, NDArray[Any]]:
    """Read one group of tensors after checking its hash.

    Raises:
        ConfigurationError: if the file is not in the manifest, is missing, or has another hash than the manifest says.
    """
    name = f"{group}.safetensors"
    expected = manifest["files"].get(name)
    if expected is None:
        message = f"artefact {folder}: the manifest lists no {name}, it lists {sorted(manifest['files'])}"
        raise ConfigurationError(message)
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError as error:
        message = f"artefact {folder}: {name} is in the manifest and not in the folder"
        raise ConfigurationError(message) from error
    found = sha256(content)
    if found != expected:
        message = f"artefact {folder}: {name} has SHA-256 {found}, the manifest says {expected}; refusing to load it"
        raise ConfigurationError(message)
    return dict(load_tensors(content))


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """One hash over the whole manifest, and so over all its files: what an export was made from."""
    return sha256(json.dumps(manifest, sort_keys=True).encode())

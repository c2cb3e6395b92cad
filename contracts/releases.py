"""Published model versions on disk: one folder each, every file pinned by its SHA-256.

`<stack.var>/models/<artefact>/<version>/` holds what Triton's stub loads (ONNX graphs, tokenizer, behaviour vectors,
`manifest.json`), the trained safetensors in `artefact/`, and `release.json`, written last, with the hash of each of them.
`triton_models.registry` writes such folders; nothing changes one afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError
from contracts.settings import Settings, resolve

RELEASE = "release.json"
MANIFEST = "manifest.json"
OBJECTIVES = "objectives.json"  # the weights of the ranker's heads that an export was made with
# What the item vectors do not depend on; whatever else a manifest may name one day counts as part of the item tower.
_NOT_ITEM_FILES = frozenset({"session.safetensors", "scorer.safetensors", "blend.safetensors"})
_NOT_ITEM_FIELDS = frozenset(
    {"name", "version", "files", "metrics", "state_width", "ring", "tau", "kinds", "features", "session", "scorer", "blend"}
)


@dataclass(frozen=True)
class Release:
    """One published version.

    Attributes:
        version: number that pages, sessions and embeddings carry; never given twice.
        content: hash of the trained weights and their manifest, whatever their number.
        items_version: hash of the item tower; versions with the same one read the same `shop.item_embeddings.v1`.
        published_time: milliseconds since the epoch.
        files: SHA-256 by path below the folder.
    """

    version: int
    content: str
    items_version: str
    published_time: int
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write `release.json`."""
        (folder / RELEASE).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def releases_folder(settings: Settings) -> Path:
    """Where the versions of the configured artefact lie."""
    return resolve(settings.stack.var) / "models" / settings.model.path.name


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def items_version(manifest: Mapping[str, Any]) -> str:
    """Hash of all that an item's vectors depend on, out of an artefact's manifest."""
    fields = {name: value for name, value in manifest.items() if name not in _NOT_ITEM_FIELDS}
    files = {name: value for name, value in manifest["files"].items() if name not in _NOT_ITEM_FILES}
    return _digest([fields, files])


def content_version(manifest: Mapping[str, Any]) -> str:
    """Hash of an artefact whatever its number: the same weights are published once."""
    return _digest({name: value for name, value in manifest.items() if name not in ("version", "metrics")})


def file_digest(file: Path) -> str:
    """SHA-256 of a file of any size."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_release(folder: Path) -> Release:
    """Read `release.json`; does not look at the other files.

    Raises:
        ConfigurationError: it is missing, damaged, or of another version than the folder's name.
    """
    file = folder / RELEASE
    try:
        release = Release(**json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        message = f"no published version in {folder}: {RELEASE} cannot be read ({error.strerror})"
        raise ConfigurationError(message) from error
    except (TypeError, ValueError) as error:
        message = f"{file}: {type(error).__name__}: {error}"
        raise ConfigurationError(message) from error
    if str(release.version) != folder.name:
        message = f"{file}: version is {release.version}, expected {folder.name} as the folder is called"
        raise ConfigurationError(message)
    return release


def verify(folder: Path, release: Release) -> None:
    """Compare every file with its hash.

    Raises:
        ConfigurationError: naming the first file that is missing or not what was published.
    """
    for name, expected in release.files.items():
        file = folder / name
        if not file.is_file():
            message = f"version {release.version}: {file} was published and is not there"
            raise ConfigurationError(message)
        found = file_digest(file)
        if found != expected:
            message = f"version {release.version}: {file} has SHA-256 {found}, {RELEASE} says {expected}; refusing to load it"
            raise ConfigurationError(message)


def list_releases(root: Path) -> list[Release]:
    """All published versions below a folder, by number; folders without `release.json` are none."""
    folders = [folder for folder in root.glob("[0-9]*") if folder.name.isdigit() and (folder / RELEASE).is_file()]
    return [read_release(folder) for folder in sorted(folders, key=lambda folder: int(folder.name))]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artefact or of its export.

    Raises:
        ConfigurationError: it cannot be read or names no files.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read: {error}"
        raise ConfigurationError(message) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict) or "version" not in manifest:
        message = f"{file}: expected an object with `version` and `files`"
        raise ConfigurationError(message)
    return manifest


def release_of(root: Path, version: int) -> Release:
    """One published version.

    Raises:
        ConfigurationError: it was never published there; the message lists those that were.
    """
    folder = root / str(version)
    if not folder.is_dir():
        known = ", ".join(str(release.version) for release in list_releases(root)) or "none"
        message = f"version {version} is not published in {root}, expected one of: {known}"
        raise ConfigurationError(message)
    return read_release(folder)

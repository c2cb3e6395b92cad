"""Publishing a trained artefact as a new version beside the old ones; see `contracts.releases` for the layout.

Serving it is another decision, see docs/rollout.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import ConfigurationError
from contracts.releases import (
    MANIFEST,
    Release,
    content_version,
    file_digest,
    items_version,
    list_releases,
    read_manifest,
)
from contracts.settings import Settings
from fusion import artefact as artefacts
from fusion import checkpoint
from triton_models.export import GRAPHS, copy_files, write_graph, write_tokenizer

ITEM_GRAPHS = ("text", "image", "fuse")
TOKENIZER = "tokenizer.json"
_LAST = "last_version"
_FIELDS = ("name", "dim", "state_width", "ring", "image_size", "text_encoder", "max_tokens", "fusion", "session", "scorer")
_GROUPS = ("fusion", "session", "scorer", "behaviour")


def publish(
    artefact: Path,
    root: Path,
    *,
    based_on: Path | None = None,
    tick: Callable[[str], object] = lambda _: None,
) -> int:
    """Copy and export an artefact into the next free `<root>/<version>/`.

    The same weights published twice have the same number, and nothing is written the second time. Graphs of an item tower
    that is exported already, in `based_on` or in another version, are linked instead of exported again.

    Args:
        artefact: folder with `manifest.json` and the safetensors that it names; only read.
        root: `contracts.releases.releases_folder`.
        based_on: export of the configured artefact, whose number is taken too.
        tick: told each step before it begins.

    Returns:
        The version.

    Raises:
        ConfigurationError: a part is missing, has another hash than its manifest says, or holds numbers that are not finite.
    """
    source = checkpoint.load_manifest(artefact)
    tick("checking the weights")
    _require_servable(artefact, source)
    _require_finite(artefact, source)
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        # The export weighs the ranker's heads, so other objectives are another version.
        content = content_version({**source, "objectives": Settings().objectives.model_dump()})
        taken = list_releases(root)
        for release in taken:
            if release.content == content:
                return release.version
        version = 1 + max([*(release.version for release in taken), _number(based_on), _last(root)])
        partial = root / f".{version}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        copy = _copied(artefact, {**source, "version": version}, partial / "artefact")
        exports = [root / str(release.version) for release in reversed(taken)] + ([based_on] if based_on is not None else [])
        _export(copy, partial, _with_items(exports, items_version(source)), tick)
        tick("hashing")
        _release(partial, version, content, source).write(partial)
        (root / _LAST).write_text(str(version))
        partial.rename(root / str(version))
    return version


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One publisher at a time: two must not draw the same number."""
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _last(root: Path) -> int:
    """The highest number that was ever given here, also where its folder has been deleted since."""
    file = root / _LAST
    return int(file.read_text()) if file.exists() else 0


def _number(folder: Path | None) -> int:
    return int(read_manifest(folder)["version"]) if folder is not None else 0


def _require_servable(folder: Path, manifest: dict[str, Any]) -> None:
    """A checkpoint of one network alone, such as `vitrine train sessions` keeps, has nothing to make a page with."""
    fields = [name for name in _FIELDS if name not in manifest]
    files = [f"{name}.safetensors" for name in _GROUPS if f"{name}.safetensors" not in manifest["files"]]
    if fields or files:
        missing = ", ".join((*fields, *files))
        message = (
            f"{folder}: the manifest lacks {missing}; expected a whole artefact, as `vitrine train demo` or `clicks` writes"
        )
        raise ConfigurationError(message)


def _require_finite(folder: Path, manifest: dict[str, Any]) -> None:
    """Load every file, which compares its hash too."""
    for name in manifest["files"]:
        for tensor, array in checkpoint.load_group(folder, manifest, name.removesuffix(".safetensors")).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                message = f"{folder / name}: tensor {tensor} holds numbers that are not finite"
                raise ConfigurationError(message)


def _copied(artefact: Path, manifest: dict[str, Any], out: Path) -> Path:
    out.mkdir(parents=True)
    for name in manifest["files"]:
        shutil.copyfile(artefact / name, out / name)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return out


def _with_items(exports: list[Path], wanted: str) -> Path | None:
    """The first export that is there with this item tower."""
    needed = (*(f"{name}.onnx" for name in ITEM_GRAPHS), TOKENIZER, MANIFEST)
    for folder in exports:
        if all((folder / name).is_file() for name in needed) and items_version(read_manifest(folder)) == wanted:
            return folder
    return None


def _export(artefact: Path, out: Path, same_items: Path | None, tick: Callable[[str], object]) -> None:
    loaded = artefacts.load(artefact)
    for name, build in GRAPHS.items():
        if same_items is not None and name in ITEM_GRAPHS:
            _link(same_items / f"{name}.onnx", out / f"{name}.onnx")
        else:
            tick(f"exporting {name}")
            write_graph(build(loaded), out / f"{name}.onnx")
    if same_items is not None:
        _link(same_items / TOKENIZER, out / TOKENIZER)
    else:
        write_tokenizer(loaded.text_encoder, out)
    copy_files(artefact, out)


def _link(source: Path, target: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no links or the folders lie on two of them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _release(folder: Path, version: int, content: str, source: dict[str, Any]) -> Release:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return Release(
        version=version,
        content=content,
        items_version=items_version(source),
        published_time=time.time_ns() // 1_000_000,
        files={str(file.relative_to(folder)): file_digest(file) for file in files},
    )

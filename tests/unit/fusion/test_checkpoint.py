"""Checkpoints: what is loaded is what was saved, and nothing else is loaded at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigurationError
from fusion import checkpoint
from fusion.config import ScorerConfig, SessionConfig, from_mapping, to_mapping


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path, {"name": "x"}, {"a": {"w": np.arange(6.0).reshape(2, 3)}, "b": {"v": np.ones(2, np.int64)}})
    return tmp_path


def test_tensors_come_back_as_they_were(folder: Path) -> None:
    manifest = checkpoint.load_manifest(folder)
    assert manifest["name"] == "x"
    np.testing.assert_array_equal(checkpoint.load_group(folder, manifest, "a")["w"], np.arange(6.0).reshape(2, 3))
    assert checkpoint.load_group(folder, manifest, "b")["v"].dtype == np.int64


def test_saving_the_same_twice_gives_the_same_bytes(folder: Path) -> None:
    before = (folder / "a.safetensors").read_bytes(), (folder / "manifest.json").read_bytes()
    checkpoint.save(folder, {"name": "x"}, {"b": {"v": np.ones(2, np.int64)}, "a": {"w": np.arange(6.0).reshape(2, 3)}})
    assert ((folder / "a.safetensors").read_bytes(), (folder / "manifest.json").read_bytes()) == before


def test_a_changed_byte_is_refused_with_both_hashes(folder: Path) -> None:
    path = folder / "a.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(bytes(content))
    with pytest.raises(ConfigurationError, match=r"a\.safetensors has SHA-256 \w{64}, the manifest says \w{64}"):
        checkpoint.load_group(folder, checkpoint.load_manifest(folder), "a")


def test_a_missing_file_group_or_manifest_is_named(folder: Path, tmp_path: Path) -> None:
    manifest = checkpoint.load_manifest(folder)
    with pytest.raises(ConfigurationError, match=r"lists no c\.safetensors"):
        checkpoint.load_group(folder, manifest, "c")
    (folder / "b.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"b\.safetensors is in the manifest and not in the folder"):
        checkpoint.load_group(folder, manifest, "b")
    with pytest.raises(ConfigurationError, match=r"no artefact in .*vitrine train demo"):
        checkpoint.load_manifest(tmp_path / "none")


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"name": "x"})])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigurationError, match="manifest"):
        checkpoint.load_manifest(tmp_path)


def test_configurations_survive_the_manifest_and_unknown_names_are_refused() -> None:
    config = SessionConfig(dim=100, input_scale=2.0)
    assert from_mapping(SessionConfig, json.loads(json.dumps(to_mapping(config)))) == config
    with pytest.raises(ConfigurationError, match=r"ScorerConfig: unknown names \['colour'\]"):
        from_mapping(ScorerConfig, {"features": 3, "colour": 1})

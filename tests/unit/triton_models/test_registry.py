"""Publishing versions: numbers, hashes, and what is shared with the version before."""

import json
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigurationError
from contracts.releases import items_version, list_releases, read_release, release_of, verify
from contracts.settings import ROOT
from fusion import checkpoint
from triton_models.export import GRAPHS
from triton_models.registry import ITEM_GRAPHS, publish
from triton_models.servable_ranker import PageRanker, probe

DEMO = ROOT / "triton_models" / "artefacts" / "demo"
FIRST = int(checkpoint.load_manifest(DEMO)["version"]) + 1  # that the registry gives
# One tensor of each network whose change changes what the network answers.
TENSORS = {"session": "gru.weight_ih_l0", "scorer": "linear.weight", "fusion": "gate.0.weight"}


def changed(folder: Path, group: str, factor: float = 1.01) -> Path:
    """The demo artefact with one tensor of a network scaled."""
    manifest = checkpoint.load_manifest(DEMO)
    groups = {name.removesuffix(".safetensors"): name for name in manifest["files"]}
    tensors = {name: checkpoint.load_group(DEMO, manifest, name) for name in groups}
    tensors[group][TENSORS[group]] = tensors[group][TENSORS[group]] * np.float32(factor)
    checkpoint.save(folder, manifest, tensors)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an export of the demo artefact looks like to the registry; its item graphs are stand-ins, only linked."""
    folder = tmp_path_factory.mktemp("exported")
    for name in (*(f"{graph}.onnx" for graph in ITEM_GRAPHS), "tokenizer.json"):
        (folder / name).write_bytes(name.encode())
    (folder / "manifest.json").write_bytes((DEMO / "manifest.json").read_bytes())
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A registry with one version: the demo with another session encoder."""
    root = tmp_path_factory.mktemp("models")
    artefact = changed(tmp_path_factory.mktemp("artefact"), "session")
    assert publish(artefact, root, based_on=base) == FIRST
    return root


def test_a_published_version_loads_answers_with_its_number_and_shares_the_item_graphs(published: Path, base: Path) -> None:
    folder = published / str(FIRST)
    answer = PageRanker.open(folder).rank(probe(2))
    assert int(answer["info"][0]) == FIRST
    for name in ITEM_GRAPHS:
        assert (folder / f"{name}.onnx").samefile(base / f"{name}.onnx")
    assert {f"{name}.onnx" for name in GRAPHS} <= {file.name for file in folder.iterdir()}


def test_the_same_weights_are_published_once_and_a_number_is_never_given_twice(
    published: Path, base: Path, tmp_path: Path
) -> None:
    again = changed(tmp_path / "again", "session")
    assert publish(again, published, based_on=base) == FIRST
    third = publish(changed(tmp_path / "third", "scorer"), published, based_on=base)
    (published / str(FIRST + 1)).rename(tmp_path / "deleted by somebody")
    fourth = publish(changed(tmp_path / "fourth", "scorer", 1.02), published, based_on=base)
    assert (third, fourth) == (FIRST + 1, FIRST + 2)
    assert [release.version for release in list_releases(published)] == [FIRST, FIRST + 2]


def test_other_weights_in_a_published_file_are_refused_by_name(published: Path) -> None:
    release = release_of(published, FIRST)
    verify(published / str(FIRST), release)
    file = published / str(FIRST) / "artefact" / "scorer.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(ConfigurationError, match=r"scorer\.safetensors has SHA-256"):
            verify(published / str(FIRST), release)
    finally:
        file.write_bytes(content)


def test_an_artefact_with_another_hash_with_nan_or_of_one_network_is_not_published(tmp_path: Path) -> None:
    broken = changed(tmp_path / "nan", "scorer", np.nan)
    with pytest.raises(ConfigurationError, match="not finite"):
        publish(broken, tmp_path / "root")
    swapped = changed(tmp_path / "swapped", "scorer")
    (swapped / "session.safetensors").write_bytes((swapped / "scorer.safetensors").read_bytes())
    with pytest.raises(ConfigurationError, match="refusing to load"):
        publish(swapped, tmp_path / "root")
    part = tmp_path / "part"
    checkpoint.save(part, {"name": "sessions", "version": 7}, {"session": {"weight": np.zeros(3, np.float32)}})
    with pytest.raises(ConfigurationError, match=r"lacks dim, .*behaviour\.safetensors; expected a whole artefact"):
        publish(part, tmp_path / "root")
    assert list_releases(tmp_path / "root") == []


def test_only_a_changed_item_tower_changes_the_items_version(published: Path, tmp_path: Path) -> None:
    demo = items_version(checkpoint.load_manifest(DEMO))
    assert read_release(published / str(FIRST)).items_version == demo
    other = changed(tmp_path / "fusion", "fusion")
    assert items_version(json.loads((other / "manifest.json").read_text())) != demo

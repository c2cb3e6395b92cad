"""What our code may not do: unpickle, build objects from YAML, or take a model whose bytes are not those of the manifest."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import ROOT
from fusion.checkpoint import load_group, load_manifest
from triton_models.artefact import load_behaviour, read_manifest

ARTEFACT = ROOT / "triton_models" / "artefacts" / "demo"
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}


def unsafe(source: str) -> Iterator[str]:
    """Names of what could run code that lies in data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name.rpartition(".")[2] in ("read_pickle", "to_pickle", "unsafe_load", "full_load"):
                yield name
            if words.get("allow_pickle", "False") != "False" or words.get("trust_remote_code", "False") != "False":
                yield f"{name}({words})"
            if name == "torch.load" and words.get("weights_only") != "True":
                yield "torch.load without weights_only"
            if name == "yaml.load" and "Safe" not in ast.unparse(node):
                yield "yaml.load without a safe loader"


UNSAFE_SOURCES = (
    "import pickle",
    "from joblib import load",
    "import numpy as np\nnp.load('x', allow_pickle=True)",
    "torch.load('x')",
    "torch.load('x', weights_only=False)",
    "yaml.load(text, Loader=yaml.Loader)",
    "AutoModel.from_pretrained('x', trust_remote_code=True)",
    "frame = pd.read_pickle('x')",
)


@pytest.mark.parametrize("source", UNSAFE_SOURCES)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(unsafe(source))


def test_nothing_of_ours_unpickles_or_builds_objects_from_data() -> None:
    hidden = {"var", "node_modules", "shared"}
    folders = [
        place for place in ROOT.iterdir() if place.is_dir() and not place.name.startswith(".") and place.name not in hidden
    ]
    files = [file for folder in folders for file in folder.rglob("*.py") if "node_modules" not in file.parts]
    assert len(files) > 200
    found = {str(file.relative_to(ROOT)): list(unsafe(file.read_text())) for file in files}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("name", sorted(file.name for file in ARTEFACT.glob("*.safetensors")))
def test_a_model_file_with_one_changed_byte_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ARTEFACT, folder)
    group = name.removesuffix(".safetensors")
    assert load_group(folder, load_manifest(folder), group)  # as it is, it is taken
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{name} has SHA-256"):
        load_group(folder, load_manifest(folder), group)


def test_tritons_own_reader_refuses_a_changed_byte_too(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ARTEFACT, folder)
    manifest = read_manifest(folder)
    load_behaviour(folder, manifest)
    with (folder / "behaviour.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(ConfigurationError, match=r"behaviour\.safetensors"):
        load_behaviour(folder, manifest)


def test_only_safetensors_onnx_and_json_are_shipped_as_models() -> None:
    kinds = {file.suffix for file in (ROOT / "triton_models").rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert kinds <= {".py", ".safetensors", ".json", ".onnx", ".pbtxt"}

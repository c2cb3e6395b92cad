"""Exported graphs answer as the networks do, and a row's bits do not depend on the rows beside it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from contracts.errors import ConfigurationError
from contracts.releases import OBJECTIVES
from contracts.settings import ObjectiveSettings
from fusion import artefact as artefacts
from fusion import checkpoint
from fusion.artefact import Artefact
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH
from fusion.text import TextEncoder, encode_texts, load_tokenizer
from triton_models.export import GRAPHS, export, is_current, stamp_of

ARTEFACT = Path(__file__).resolve().parents[3] / "triton_models" / "artefacts" / "demo"
ROWS = 64
Arrays = dict[str, NDArray[Any]]


def session(path: Path) -> onnxruntime.InferenceSession:
    """One graph as serving loads it: one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def artefact() -> Artefact:
    return artefacts.load(ARTEFACT)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    assert export(ARTEFACT, out, Console(file=io.StringIO()))
    return out


@pytest.fixture(scope="session")
def inputs(artefact: Artefact) -> dict[str, Arrays]:
    """64 rows for each graph, unlike one another."""
    rng = np.random.default_rng(5)
    fused, sessions = artefact.fusion_config, artefact.session_config

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    ring_mask = (np.arange(sessions.ring) < rng.integers(0, sessions.ring + 1, ROWS)[:, None]).astype(np.float32)
    state, ring = normal(ROWS, sessions.state_width), normal(ROWS, sessions.ring, sessions.dim)
    state[:, -2:] = np.abs(state[:, -2:])
    lengths = rng.integers(3, 17, ROWS)
    return {
        "text": {
            "input_ids": rng.integers(1000, 20_000, (ROWS, 16)),
            "attention_mask": (np.arange(16) < lengths[:, None]).astype(np.int64),
        },
        "image": {"pixels": rng.integers(0, 256, (ROWS, fused.image_size, fused.image_size, 3), dtype=np.uint8)},
        "fuse": {
            "text_raw": normal(ROWS, fused.text_width),
            "image_raw": normal(ROWS, fused.image_width),
            "behaviour": normal(ROWS, fused.dim),
            "has": rng.integers(0, 2, (ROWS, 3)).astype(np.float32),
        },
        "step": {
            "state": state,
            "ring_x": ring,
            "x": normal(ROWS, sessions.dim),
            "kind": rng.integers(0, sessions.kinds, ROWS),
        },
        "query": {"state": state, "ring_x": ring, "ring_mask": ring_mask},
        "rank": {"features": normal(ROWS, artefact.scorer_config.features)},
    }


def run(graph: onnxruntime.InferenceSession, arrays: Arrays, rows: slice | list[int]) -> list[NDArray[Any]]:
    """Answers for some rows."""
    return list(graph.run(None, {name: np.ascontiguousarray(array[rows]) for name, array in arrays.items()}))


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_a_row_has_the_same_bits_in_every_batch_size(name: str, exported: Path, inputs: dict[str, Arrays]) -> None:
    graph = session(exported / f"{name}.onnx")
    whole = run(graph, inputs[name], slice(0, ROWS))
    sizes = (1, 2, 5, 31) if name == "text" else range(1, ROWS + 1)
    for size in sizes:
        for start in (0, ROWS - size):
            part = run(graph, inputs[name], slice(start, start + size))
            for got, wanted in zip(part, whole, strict=True):
                assert got.tobytes() == wanted[start : start + size].tobytes(), f"{name}: batch of {size} from row {start}"


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_the_graph_equals_the_network(name: str, exported: Path, inputs: dict[str, Arrays], artefact: Artefact) -> None:
    module = GRAPHS[name](artefact).module.eval()
    with torch.no_grad():
        wanted = module(*(torch.from_numpy(array) for array in inputs[name].values()))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for got, tensor in zip(run(session(exported / f"{name}.onnx"), inputs[name], slice(0, ROWS)), wanted, strict=True):
        np.testing.assert_allclose(got, tensor.numpy(), atol=1e-4, rtol=1e-4)


def test_serving_names_and_shapes_are_as_agreed(exported: Path, artefact: Artefact) -> None:
    sizes, sessions = artefact.fusion_config, artefact.session_config
    wanted: dict[str, tuple[dict[str, int], dict[str, int | None]]] = {
        "text": ({"input_ids": 2, "attention_mask": 2}, {"text_raw": sizes.text_width}),
        "image": ({"pixels": 4}, {"image_raw": sizes.image_width}),
        "fuse": (
            {"text_raw": 2, "image_raw": 2, "behaviour": 2, "has": 2},
            {"fused": sizes.dim, "text": sizes.dim, "image": sizes.dim, "weights": 3},
        ),
        "step": ({"state": 2, "ring_x": 3, "x": 2, "kind": 1}, {"new_state": sessions.state_width}),
        "query": ({"state": 2, "ring_x": 3, "ring_mask": 2}, {"query": sessions.dim, "pointer": sessions.ring}),
        "rank": ({"features": 2}, {"probability": None}),
    }
    for name, (takes, gives) in wanted.items():
        graph = session(exported / f"{name}.onnx")
        assert {value.name: len(value.shape) for value in graph.get_inputs()} == takes
        assert [value.name for value in graph.get_outputs()] == list(gives)


def test_a_second_export_does_nothing_and_a_changed_artefact_is_exported_anew(tmp_path: Path, exported: Path) -> None:
    console = Console(file=io.StringIO())
    before = (exported / "step.onnx").stat().st_mtime_ns
    assert not export(ARTEFACT, exported, console)
    assert (exported / "step.onnx").stat().st_mtime_ns == before
    torch.manual_seed(9)
    other = artefacts.build("other", FusionConfig(dim=16), SessionConfig(dim=16), ScorerConfig(features=WIDTH))
    artefacts.save(other, tmp_path / "other")
    assert export(tmp_path / "other", tmp_path / "out", console)
    assert session(tmp_path / "out" / "step.onnx").get_outputs()[0].shape[1] == 50
    (tmp_path / "out" / "rank.onnx").unlink()
    assert export(tmp_path / "other", tmp_path / "out", console)
    assert (tmp_path / "out" / "rank.onnx").exists()


def test_an_export_tells_its_objectives_and_is_old_under_others(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = checkpoint.load_manifest(ARTEFACT)
    assert ObjectiveSettings.model_validate_json((exported / OBJECTIVES).read_text()) == ObjectiveSettings()
    assert is_current(exported, stamp_of(ARTEFACT, manifest))
    monkeypatch.setenv("VITRINE_OBJECTIVES__PURCHASE", "5")
    assert not is_current(exported, stamp_of(ARTEFACT, manifest))


def test_a_damaged_artefact_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    torch.manual_seed(9)
    other = artefacts.build("other", FusionConfig(dim=16), SessionConfig(dim=16), ScorerConfig(features=WIDTH))
    artefacts.save(other, tmp_path)
    content = bytearray((tmp_path / "session.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "session.safetensors").write_bytes(bytes(content))
    with pytest.raises(ConfigurationError, match=r"session\.safetensors has SHA-256 .* refusing"):
        artefacts.load(tmp_path)


def test_the_exported_tokenizer_and_text_graph_give_the_vectors_of_training(exported: Path, artefact: Artefact) -> None:
    from tokenizers import Tokenizer  # noqa: PLC0415 - only this test needs it

    texts = ["Red running shoe. Sport > Running shoes. Light and quick.", "Oak chair"]
    wanted = torch.cat(list(encode_texts(TextEncoder(artefact.text_encoder), load_tokenizer(artefact.text_encoder), texts)))
    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    tokenizer.enable_truncation(artefact.max_tokens)
    tokenizer.enable_padding(length=artefact.max_tokens)
    tokens = tokenizer.encode_batch(texts)
    arrays = {
        "input_ids": np.array([token.ids for token in tokens], dtype=np.int64),
        "attention_mask": np.array([token.attention_mask for token in tokens], dtype=np.int64),
    }
    got = run(session(exported / "text.onnx"), arrays, slice(0, 2))[0]
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)

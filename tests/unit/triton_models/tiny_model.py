"""A model so small that its right answer is visible by eye, in the files that serving loads.

The query is 14 times the last touched item's vector; the state halves and takes the new item's vector; the click
probability is sigmoid(logit - 7), so that a cosine of 0.5 is a coin flip. A text's vector counts words, a picture's is its
mean colour.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from fusion.features import ItemFacts
from triton_models.items import ItemRow

DIM = 4
RING = 10
SIDE = 8
WORDS = ("[PAD]", "[UNK]", "red", "blue", "shoe", "hat")
KNOWN_KEY = 4242
TENANT = 7


def _save(path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: list[str], constants: dict[str, Any]) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())


def _session_graphs(folder: Path) -> None:
    real, whole, node = TensorProto.FLOAT, TensorProto.INT64, helper.make_node
    state, ring = (real, ["B", DIM + 1]), (real, ["B", RING, DIM])
    nodes = [
        node("Mul", ["state", "half"], ["old"]),
        node("Mul", ["x", "zero"], ["nothing"]),
        node("ReduceSum", ["nothing", "axis"], ["empty"], keepdims=1),
        node("Add", ["empty", "one"], ["event"]),
        node("Concat", ["x", "event"], ["touch"], axis=1),
        node("Add", ["old", "touch"], ["new_state"]),
    ]
    constants = {"half": np.float32(0.5), "zero": np.float32(0), "one": np.float32(1), "axis": np.array([1])}
    inputs = {"state": state, "ring_x": ring, "x": (real, ["B", DIM]), "kind": (whole, ["B"])}
    _save(folder / "step.onnx", nodes, inputs, ["new_state"], constants)
    nodes = [
        node("Gather", ["ring_x", "first"], ["last"], axis=1),
        node("Mul", ["last", "tau"], ["query"]),
        node("Mul", ["ring_mask", "zero"], ["pointer"]),
    ]
    constants = {"first": np.int64(0), "tau": np.float32(14), "zero": np.float32(0)}
    _save(
        folder / "query.onnx",
        nodes,
        {"state": state, "ring_x": ring, "ring_mask": (real, ["B", RING])},
        ["query", "pointer"],
        constants,
    )
    nodes = [
        node("Gather", ["features", "first"], ["logit"], axis=1),
        node("Sub", ["logit", "seven"], ["shifted"]),
        node("Sigmoid", ["shifted"], ["probability"]),
    ]
    _save(
        folder / "rank.onnx",
        nodes,
        {"features": (real, ["N", "F"])},
        ["probability"],
        {"first": np.int64(0), "seven": np.float32(7)},
    )


def _item_graphs(folder: Path) -> None:
    real, whole, node = TensorProto.FLOAT, TensorProto.INT64, helper.make_node
    nodes = [
        node("Gather", ["words", "input_ids"], ["each"], axis=0),
        node("Cast", ["attention_mask"], ["mask"], to=real),
        node("Unsqueeze", ["mask", "end"], ["wide"]),
        node("Mul", ["each", "wide"], ["there"]),
        node("ReduceSum", ["there", "middle"], ["text_raw"], keepdims=0),
    ]
    constants: dict[str, Any] = {"words": np.eye(len(WORDS), dtype=np.float32), "end": np.array([2]), "middle": np.array([1])}
    ids = (whole, ["B", "T"])
    _save(folder / "text.onnx", nodes, {"input_ids": ids, "attention_mask": ids}, ["text_raw"], constants)
    nodes = [node("Cast", ["pixels"], ["real"], to=real), node("ReduceMean", ["real"], ["image_raw"], axes=[1, 2], keepdims=0)]
    _save(folder / "image.onnx", nodes, {"pixels": (TensorProto.UINT8, ["B", "H", "V", 3])}, ["image_raw"], {})
    nodes = [
        node("MatMul", ["text_raw", "to_text"], ["text_wide"]),
        node("LpNormalization", ["text_wide"], ["text"], axis=1, p=2),
        node("MatMul", ["image_raw", "to_image"], ["image_wide"]),
        node("LpNormalization", ["image_wide"], ["image"], axis=1, p=2),
        node("Split", ["has", "ones"], ["has_text", "has_image", "has_behaviour"], axis=1),
        node("Mul", ["text", "has_text"], ["text_part"]),
        node("Mul", ["image", "has_image"], ["image_part"]),
        node("Mul", ["behaviour", "has_behaviour"], ["behaviour_part"]),
        node("Sum", ["text_part", "image_part", "behaviour_part"], ["sum"]),
        node("ReduceL2", ["sum"], ["length"], axes=[1], keepdims=1),
        node("Max", ["length", "tiny"], ["divisor"]),
        node("Div", ["sum", "divisor"], ["fused"]),
        node("Div", ["has", "divisor"], ["weights"]),
    ]
    rng = np.random.default_rng(1)
    constants = {
        "to_text": rng.standard_normal((len(WORDS), DIM)).astype(np.float32),
        "to_image": rng.standard_normal((3, DIM)).astype(np.float32),
        "ones": np.array([1, 1, 1]),
        "tiny": np.float32(1e-6),
    }
    inputs = {
        "text_raw": (real, ["B", len(WORDS)]),
        "image_raw": (real, ["B", 3]),
        "behaviour": (real, ["B", DIM]),
        "has": (real, ["B", 3]),
    }
    _save(folder / "fuse.onnx", nodes, inputs, ["fused", "text", "image", "weights"], constants)


def write_tiny_model(folder: Path) -> Path:
    """All files of an exported model."""
    _session_graphs(folder)
    _item_graphs(folder)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = {"keys": np.array([KNOWN_KEY]), "vectors": np.array([[0, 0, 0, 1]], np.float32)}
    save_file(vectors, folder / "behaviour.safetensors")
    manifest = {"version": 3, "dim": DIM, "state_width": DIM + 1, "ring": RING, "image_size": SIDE, "max_tokens": 16}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def item(key: int, vector: Any, *, tenant: int = TENANT, category: int = 1, popularity: float = 0.0, **more: Any) -> ItemRow:
    """One item whose text alone makes its vector, unless `behaviour=True`."""
    fused = np.asarray(vector, np.float32)
    fused = fused / np.float32(np.linalg.norm(fused))
    weights = (0.0, 0.0, 1.0) if more.get("behaviour", True) else (1.0, 0.0, 0.0)
    text = np.zeros_like(fused) if more.get("behaviour", True) else fused
    facts = ItemFacts(category, category, 1.0, popularity, 0.0, 0.0)
    return ItemRow(key, tenant, fused, text, np.zeros_like(fused), weights, facts, more.get("eligible", True))

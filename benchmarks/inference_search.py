"""The search over the item matrix in several number formats, beside the integers that serving uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from triton_models.index_exact import ExactIndex
from triton_models.onnx_session import open_session

TOP = 20
QUERIES = 64
FOUND = 64  # what a page asks for
SEARCH = "search"
DEFAULT = "int8 by integers, ours"
Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[np.int64]]


def matrix(vectors: Floats, count: int) -> Floats:
    """`count` unit vectors around the learnt ones: a larger catalogue of the same kinds of product."""
    rng = np.random.default_rng(8)
    spread = 0.5 / np.sqrt(vectors.shape[1])
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    made = unit[rng.integers(0, len(vectors), count)] + spread * rng.standard_normal((count, vectors.shape[1]))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def _numpy(items: Floats, barred: Floats) -> Search:
    def search(queries: Floats) -> NDArray[np.int64]:
        scores = queries @ items.T + barred
        best = np.argpartition(-scores, FOUND, axis=1)[:, :FOUND]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)

    return search


def _torch(items: Floats, barred: Floats, dtype: torch.dtype) -> Search:
    held, out = torch.from_numpy(items).to(dtype).T.contiguous(), torch.from_numpy(barred).to(dtype)

    def search(queries: Floats) -> NDArray[np.int64]:
        with torch.inference_mode():
            scores = torch.from_numpy(queries).to(dtype) @ held + out
            return torch.topk(scores.float(), FOUND, dim=1).indices.numpy()

    return search


def _onnx(items: Floats, barred: Floats) -> Search:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["queries", "items"], ["all"]),
            helper.make_node("Add", ["all", "barred"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["best", "rows"]),
        ],
        "plain",
        [
            helper.make_tensor_value_info("queries", TensorProto.FLOAT, ["B", items.shape[1]]),
            helper.make_tensor_value_info("barred", TensorProto.FLOAT, [len(items)]),
        ],
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["B", TOP])],
        [numpy_helper.from_array(np.ascontiguousarray(items.T), "items"), numpy_helper.from_array(np.array([FOUND]), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    session = open_session(model.SerializeToString())
    return lambda queries: np.asarray(session.run(["rows"], {"queries": queries, "barred": barred})[0])


def _integers(items: Floats, mask: NDArray[np.bool_]) -> Search:
    """Ours finds `FOUND` by integers, and the ranker scores those in 32 bits: the best of that are what is compared."""
    index = ExactIndex(items.shape[1], len(items))
    rows = np.arange(len(items))
    index.write(rows, rows + 1, items)
    nobody = np.zeros(0, np.int64)

    def search(queries: Floats) -> NDArray[np.int64]:
        batch = len(queries)
        found = index.search(queries, FOUND, [mask] * batch, [nobody] * batch)
        scores = np.matmul(items[found], queries[:, :, None])[..., 0]
        return np.take_along_axis(found, np.argsort(-scores, axis=1), axis=1)

    return search


def searches(
    vectors: Floats, count: int, batches: Sequence[int], timed: Callable[[Mapping[str, Callable[[], object]]], dict[str, float]]
) -> list[dict[str, Any]]:
    """One line for each format; every way leaves out the tenth of the items that may not answer.

    Args:
        vectors: learnt item vectors [n, D].
        count: rows of the searched matrix.
        batches: queries at once.
        timed: median milliseconds of named calls.
    """
    items = matrix(vectors, count)
    queries = 14 * items[np.random.default_rng(1).integers(0, count, QUERIES)]
    queries = np.asarray(queries + 2 * np.random.default_rng(2).standard_normal(queries.shape), np.float32)
    mask = np.random.default_rng(3).random(count) > 0.1
    barred = np.where(mask, 0, -1000).astype(np.float32)
    ways: dict[str, Search] = {
        "NumPy fp32": _numpy(items, barred),
        "ONNX Runtime fp32": _onnx(items, barred),
        "torch bf16": _torch(items, barred, torch.bfloat16),
        "torch fp16": _torch(items, barred, torch.float16),
        DEFAULT: _integers(items, mask),
    }
    plain = ways["ONNX Runtime fp32"](queries)
    lines = {}
    for name, way in ways.items():
        found = way(queries)
        alone = [way(queries[row : row + 1])[0] for row in range(QUERIES)]
        shared = [
            len(set(ours[:TOP]) & set(theirs[:TOP])) / TOP for ours, theirs in zip(found.tolist(), plain.tolist(), strict=True)
        ]
        lines[name] = {
            "network": f"{SEARCH}, {count:,} items",
            "way": name,
            "overlap_at_20": round(float(np.mean(shared)), 4),
            "batch_invariant": bool(all(np.array_equal(one, row) for one, row in zip(alone, found, strict=True))),
        }
    for batch in batches:
        calls = {name: partial(way, queries[:batch]) for name, way in ways.items()}
        for name, milliseconds in timed(calls).items():
            lines[name][f"us_per_row_{batch}"] = round(1000 * milliseconds / batch, 2)
    return list(lines.values())

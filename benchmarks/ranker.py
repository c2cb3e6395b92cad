"""Time of one `page_ranker` call inside the model, without gRPC: batch sizes, catalogue sizes, both index adapters.

`python benchmarks/ranker.py --out ranker.json`. The networks are untrained, since weights do not change the time. Beside each
configuration stands the search that most systems start with, 32-bit products and a top-k in ONNX Runtime, measured in turn
with ours; the overlap says how much of that search's answer ours has among what it ranks in full.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from contracts.tensors import RING, Context, EventKind
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH, ItemFacts
from triton_models.candidates import MATCHES
from triton_models.export import GRAPHS, write_graph
from triton_models.index import Kind
from triton_models.items import ItemRow
from triton_models.onnx_session import open_session
from triton_models.servable_ranker import PageRanker

TENANT = 1
TOP = 20
Arrays = dict[str, NDArray[Any]]


def write_model(folder: Path, dim: int) -> Path:
    """The ranker's graphs of width `dim`, untrained."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    made = artefacts.build(
        "bench", FusionConfig(dim=dim), SessionConfig(dim=dim, input_scale=dim**0.5), ScorerConfig(features=WIDTH)
    )
    for name in ("step", "query", "rank"):
        write_graph(GRAPHS[name](made), folder / f"{name}.onnx")
    manifest = {"version": 1, "dim": dim, "state_width": 3 * dim + 2, "ring": RING, "image_size": 64}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def unit(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Random directions around a few hundred centres, as products of a kind lie together."""
    centres = rng.standard_normal((300, dim))
    vectors = centres[rng.integers(0, 300, count)] + 0.8 * rng.standard_normal((count, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def fill(ranker: PageRanker, count: int) -> NDArray[np.int64]:
    """Items with text, picture and behaviour; their keys."""
    rng, dim = np.random.default_rng(2), ranker.manifest.dim
    parts = [unit(rng, count, dim) for _ in range(3)]
    mixed = 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2]
    lengths = np.linalg.norm(mixed, axis=1)
    keys = rng.integers(-(2**63), 2**63 - 1, count)
    for start in range(0, count, 64):
        ranker.items.upsert(
            [
                ItemRow(
                    key=int(keys[row]),
                    tenant=TENANT,
                    fused=mixed[row] / lengths[row],
                    text=parts[0][row],
                    image=parts[1][row],
                    weights=(0.5 / lengths[row], 0.3 / lengths[row], 0.2 / lengths[row]),
                    facts=ItemFacts(row % 12, row % 90, 3.0, float(rng.exponential()), 0.0, 0.0),
                    is_eligible=True,
                )
                for row in range(start, min(count, start + 64))
            ]
        )
    return keys


def requests(ranker: PageRanker, keys: NDArray[np.int64], batch: int, count: int) -> list[Arrays]:
    """Visitors with a full ring, one new event each, eight exclusions."""
    rng = np.random.default_rng(batch)
    context = np.zeros((batch, len(Context)), np.int64)
    context[:, Context.TENANT_KEY] = TENANT
    return [
        {
            "state": np.abs(0.3 * rng.standard_normal((batch, ranker.manifest.state_width))).astype(np.float32),
            "ring": rng.choice(keys, (batch, RING)),
            "events": rng.choice(keys, (batch, 1)),
            "kinds": np.full((batch, 1), EventKind.VIEW, np.int32),
            "exclude": rng.choice(keys, (batch, 8)),
            "context": context,
        }
        for _ in range(count)
    ]


def plain_search(ranker: PageRanker) -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """32-bit scores of queries [B, D] against all items and their best `TOP` rows [B, TOP], in one graph."""
    vectors = np.ascontiguousarray(ranker.items.columns.table.fused[: len(ranker.items)].T)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["queries", "items"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["best", "rows"]),
        ],
        "plain",
        [helper.make_tensor_value_info("queries", TensorProto.FLOAT, ["B", vectors.shape[0]])],
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["B", TOP])],
        [numpy_helper.from_array(vectors, "items"), numpy_helper.from_array(np.array([TOP]), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    session = open_session(model.SerializeToString())
    return lambda queries: np.asarray(session.run(["rows"], {"queries": queries})[0])


def overlap(ranker: PageRanker, plain: Callable[[NDArray[np.float32]], NDArray[np.int64]]) -> float:
    """Share of the plain search's best `TOP` among the candidates of ours, over 64 queries."""
    queries = 14 * unit(np.random.default_rng(9), 64, ranker.manifest.dim)
    view = ranker.items.view(TENANT, 0)
    ours = ranker.items.search(queries, MATCHES, [view] * 64)
    return float(np.mean([len(set(a) & set(b)) / TOP for a, b in zip(ours.tolist(), plain(queries).tolist(), strict=True)]))


def measure(ranker: PageRanker, keys: NDArray[np.int64], batch: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of our call, its parts, and the plain search, taken in turn."""
    plain = plain_search(ranker)
    queries = 14 * unit(np.random.default_rng(3), batch, ranker.manifest.dim)
    ours, theirs, parts = [], [], []
    for inputs in requests(ranker, keys, batch, rounds + 5):
        started = time.perf_counter()
        outputs = ranker.rank(inputs)
        middle = time.perf_counter()
        plain(queries)
        ours.append(1000 * (middle - started))
        theirs.append(1000 * (time.perf_counter() - middle))
        parts.append(outputs["timing"] / 1000)
    step, retrieve, rank = np.median(parts[5:], axis=0).round(3).tolist()
    return {
        "ms_p50": round(float(np.median(ours[5:])), 3),
        "ms_p99": round(float(np.percentile(ours[5:], 99)), 3),
        "ms_min": round(min(ours[5:]), 3),
        "step_ms": step,
        "retrieve_ms": retrieve,
        "rank_ms": rank,
        "plain_search_ms_p50": round(float(np.median(theirs[5:])), 3),
    }


def run(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """All configurations."""
    results = []
    table = Table("index", "items", "batch", "p50 ms", "p99 ms", "step", "retrieve", "rank", "plain search", "overlap")
    with TemporaryDirectory() as name:
        folder = write_model(Path(name), options.dim)
        for count in options.items:
            for index in options.index:
                ranker = PageRanker.open(folder, index)
                keys = fill(ranker, count)
                ranker.warm()
                found = round(overlap(ranker, plain_search(ranker)), 4)
                for batch in options.batch:
                    line = {"index": index, "items": count, "dim": options.dim, "batch": batch, "overlap_at_20": found}
                    line |= measure(ranker, keys, batch, options.rounds)
                    results.append(line)
                    names = ("ms_p50", "ms_p99", "step_ms", "retrieve_ms", "rank_ms", "plain_search_ms_p50", "overlap_at_20")
                    table.add_row(index, str(count), str(batch), *(f"{line[name]:.3f}" for name in names))
    console.print(table)
    return results


def main() -> None:
    """Parse arguments, measure, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--items", type=int, nargs="+", default=[1500, 50_000])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--index", choices=get_args(Kind), nargs="+", default=list(get_args(Kind)))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    console = Console(width=140)
    started = os.getloadavg()
    results = run(options, console)
    if options.out is not None:
        report = {"machine": platform.processor() or platform.machine(), "load_before": started, "load_after": os.getloadavg()}
        options.out.write_text(json.dumps({**report, "results": results}, indent=1), encoding="utf-8")
        console.print(f"wrote {options.out}")


if __name__ == "__main__":
    main()

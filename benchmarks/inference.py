"""Ways of running the served networks on this processor, in one table: time, agreement with fp32, and batch invariance.

`python -m benchmarks.inference` measures the text tower, the session encoder's step and query, the ranker, and the search
over the item matrix, each by one thread's processor time, and writes benchmarks/results/inference.json and .png. A way may
become the default where `overlap@20` with fp32 is at least 0.99 *and* a row's bits do not depend on its batch (rule 5 of
docs/architecture.md).
bf16 and CUDA graphs on a GPU are not measured: there was none.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.inference_cases import TOP, Case, cases
from benchmarks.inference_picture import draw
from benchmarks.inference_search import DEFAULT, SEARCH, searches
from benchmarks.inference_variants import NAMES, Arrays, Run, Variant, make
from benchmarks.machine import describe
from contracts.settings import ROOT, Settings, resolve
from fusion import artefact as artefacts

BATCHES = (1, 8, 32)
RESULTS = ROOT / "benchmarks" / "results" / "inference.json"
COMPILED = ("torch.compile", "AOTInductor")
CLEARLY = 0.2
PLAIN = "ONNX Runtime fp32"  # what the networks run on today, and what the others are compared with
ENOUGH = 0.99


def first_rows(feeds: Arrays, count: int, start: int = 0) -> dict[str, NDArray[Any]]:
    """Rows of all inputs."""
    return {name: array[start : start + count] for name, array in feeds.items()}


def is_invariant(run: Run, feeds: Arrays) -> bool:
    """Whether rows have the same bits alone, in small batches and in a large one."""
    whole = run(feeds)
    rows = len(next(iter(feeds.values())))
    for size in (1, 3, 8):
        for start in range(0, rows - size + 1, size):
            part = run(first_rows(feeds, size, start))
            if any(not np.array_equal(one, all_[start : start + size]) for one, all_ in zip(part, whole, strict=True)):
                return False
    return True


def overlap(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """Mean part of the best `TOP` of each row [n, TOP] that both have."""
    return float(np.mean([len(set(a) & set(b)) / TOP for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]))


def timed(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time of each, taken in turn so that a busy moment meets all of them.

    Everything here runs in the calling thread, so its processor time is what the call costs, whatever else the machine does.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.thread_time()
            run()
            times[name].append(1000 * (time.thread_time() - started))
    return {name: float(np.median(values)) for name, values in times.items()}


def measure(case: Case, variants: list[Variant], rounds: int) -> list[dict[str, Any]]:
    """One line for each variant of one network."""
    working = {variant.name: variant.run for variant in variants if variant.run is not None}
    rounds = max(3, rounds // 5) if case.is_large else rounds
    plain = case.best(working[PLAIN])
    lines: dict[str, dict[str, Any]] = {}
    for variant in variants:
        line: dict[str, Any] = {"network": case.name, "way": variant.name}
        if variant.run is None:
            lines[variant.name] = {**line, "problem": variant.problem}
            continue
        line["overlap_at_20"] = round(overlap(case.best(variant.run), plain), 4)
        line["batch_invariant"] = is_invariant(variant.run, first_rows(case.feeds, 33))
        lines[variant.name] = line
    for batch in BATCHES:
        feeds = first_rows(case.feeds, batch)
        runs = {name: partial(run, feeds) for name, run in working.items()}
        for name, milliseconds in timed(runs, rounds).items():
            lines[name][f"us_per_row_{batch}"] = round(1000 * milliseconds / batch, 2)
    return list(lines.values())


def chosen(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Of each network what serves it: what does today, unless another way that agrees and is invariant is clearly faster."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.get("overlap_at_20", 0) < ENOUGH or not line["batch_invariant"]:
            continue
        best = found.get(line["network"])
        if best is None or _cost(line) < _cost(best):
            found[line["network"]] = line
    return {network: line["way"] for network, line in found.items()}


def _cost(line: dict[str, Any]) -> float:
    """Time at a batch of 8; a change must save `CLEARLY` of it to be worth one."""
    time_of: float = line["us_per_row_8"]
    today = DEFAULT if line["network"].startswith(SEARCH) else PLAIN
    return time_of * (1 - CLEARLY) if line["way"] == today else time_of


def show(lines: list[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table("network", "way", *(f"µs per row, B={batch}" for batch in BATCHES), "overlap@20", "same bits in any batch")
    for line in lines:
        if "problem" in line:
            table.add_row(line["network"], line["way"], "-", "-", "-", "-", line["problem"])
            continue
        times = (f"{line[f'us_per_row_{batch}']:.1f}" for batch in BATCHES)
        invariant = "yes" if line["batch_invariant"] else "[red]no[/]"
        table.add_row(line["network"], line["way"], *times, f"{line['overlap_at_20']:.3f}", invariant)
    console.print(table)


def run(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Every network in every way."""
    torch.set_num_threads(1)
    artefact = artefacts.load(resolve(Settings().model.path))
    lines: list[dict[str, Any]] = []
    with TemporaryDirectory() as scratch, Progress(console=console) as progress:
        found = cases(artefact, options.texts)
        names = [name for name in NAMES if name in options.ways or name == PLAIN]
        task = progress.add_task("", total=len(found) * (len(names) + 1) + 1)
        for case in found:
            variants = []
            for name in names:
                progress.update(task, description=f"{case.name}: {name}")
                if case.is_large and name in COMPILED and not options.compile_large:
                    variants.append(Variant(name, None, "not measured: compiling takes minutes (--compile-large)"))
                else:
                    variants.append(make(name, case.exported, Path(scratch) / case.name / name, first_rows(case.feeds, 4)))
                progress.advance(task)
            progress.update(task, description=f"{case.name}: measuring")
            lines += measure(case, variants, options.rounds)
            progress.advance(task)
        progress.update(task, description="search")
        lines += searches(artefact.vectors, options.items, BATCHES, lambda runs: timed(runs, options.rounds))
        progress.advance(task)
    return lines


def main() -> None:
    """Parse arguments, measure, write JSON and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="calls of each way and batch size; a fifth of it for texts")
    parser.add_argument("--texts", type=int, default=64, help="products whose texts are encoded")
    parser.add_argument("--ways", nargs="+", choices=NAMES, default=NAMES, help="only these, and what they are compared with")
    parser.add_argument("--items", type=int, default=40_000, help="rows of the searched matrix")
    parser.add_argument("--compile-large", action="store_true", help="compile the text tower too")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write; the picture lies beside it")
    options = parser.parse_args()
    console = Console(width=150)
    before = os.getloadavg()[0]
    lines = run(options, console)
    show(lines, console)
    report = {
        "machine": {**describe(), "load_before": round(before, 2), "torch": torch.__version__, "threads": 1},
        "gpu": "not measured: no GPU in this machine",
        "served_today": {"networks": PLAIN, SEARCH: DEFAULT},
        "chosen": chosen(lines),
        "lines": lines,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw(report, options.out.with_suffix(".png"))
    console.print(f"serve by: {report['chosen']}\nwrote {options.out}")


if __name__ == "__main__":
    main()

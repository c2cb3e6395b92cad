"""What look-up and blend cost: neighbours, co-visits and trend of a shop of 40,000 items, features, scores, order, shares.

Runs in-process with the classes that Triton serves, also in the environment of Triton's stub:

    .venv-serving/bin/python -m benchmarks.blend --data ../shared/data/sessions/diginetica

`--data` is a folder of sessions as `vitrine train sessions` reads it; its sessions fill the index, the prefixes of its test
part are asked. Without it both are drawn: items around centres, sessions that stay near one. Encoder and blend are random,
which does not change the time. Times are of one call, wall clock and processor time of the thread; another program on the core
shows in the first only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
from numpy.typing import NDArray

from contracts.keys import tenant_key
from fusion.blend import FEATURES, Blend
from fusion.blend_features import TOP, TOP_PAIRS, blend_features, voices
from fusion.features import ItemFacts
from fusion.learned import Learned
from triton_models.blended_ranking import BlendedRanking, softmax
from triton_models.index import create_index
from triton_models.items import START, ItemRow, LiveItems
from triton_models.learning import Learning
from triton_models.ranking import Pages, Sessions

DIM, SHOP, RING = 100, "bench", 10
Ints = NDArray[np.int64]


def drawn(items: int, sessions: int, rng: np.random.Generator) -> list[Ints]:
    """Sessions that stay near one of a few thousand centres, popular items more often."""
    popularity = 1 / np.arange(1, items + 1) ** 0.7
    popularity /= popularity.sum()
    home = rng.choice(items, sessions, p=popularity)
    lengths = np.minimum(1 + rng.geometric(0.3, sessions), 30)
    return [
        np.abs(start + (rng.standard_t(1.5, length) * 15).astype(np.int64)) % items
        for start, length in zip(home, lengths, strict=True)
    ]


def read(folder: Path) -> tuple[int, list[Ints], list[Ints]]:
    """Number of items, sessions and test prefixes of a folder."""
    from training.sessions.data import read_sessions  # noqa: PLC0415 - only where there is a log

    data = read_sessions(folder)
    return data.items, data.full, [row[row >= 0] for row in data.test.items[:4000] if (row >= 0).any()]


def ranking(items: int, sessions: list[Ints], rng: np.random.Generator) -> tuple[BlendedRanking, Ints]:
    """A ranking over random vectors that knows the sessions, and the items' keys."""
    keys = np.unique(rng.integers(1, 2**62, 2 * items))[:items]
    rng.shuffle(keys)
    vectors = rng.standard_normal((items, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    live, nothing = LiveItems(DIM, create_index("exact", DIM, START)), np.zeros(DIM, np.float32)
    facts, tenant = ItemFacts(1, 1, 1.0, 0.0, 0.0, 0.0), tenant_key(SHOP)
    for start in range(0, items, 4096):
        rows = range(start, min(items, start + 4096))
        live.upsert(
            [ItemRow(int(keys[row]), tenant, vectors[row], nothing, nothing, (0.0, 0.0, 1.0), facts, True) for row in rows]
        )
    learned = Learned(most=len(sessions))
    learned.seed(keys, np.concatenate(sessions), np.array([len(session) for session in sessions], np.int64))
    learning = Learning()
    learning.bring(tenant, lambda: learned)
    size = len(FEATURES)
    shapes = {"mean": (size,), "hidden": (32, size), "hidden_bias": (32,), "out": (32,), "line": (size,)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return BlendedRanking(live, Blend(scale=np.ones(size, np.float32), **arrays), learning), keys


def requests(made: BlendedRanking, keys: Ints, prefixes: list[Ints], batch: int, rng: np.random.Generator) -> Any:
    """Sessions and pages of `batch` visitors, drawn from the prefixes."""
    ring = np.full((batch, RING), -1, np.int64)
    for row, at in enumerate(rng.integers(0, len(prefixes), batch)):
        newest = made.items.rows_of(keys[prefixes[at][-RING:]])[::-1]
        ring[row, : len(newest)] = newest
    query = rng.standard_normal((batch, DIM)).astype(np.float32)
    query *= 14 / np.linalg.norm(query, axis=1, keepdims=True)
    sessions = Sessions(np.zeros((batch, 3 * DIM + 2), np.float32), ring, query, np.zeros((batch, RING), np.float32))
    view, tenant = made.items.view(tenant_key(SHOP), 0), tenant_key(SHOP)
    nobody = np.zeros(0, np.int64)
    return sessions, Pages([tenant] * batch, [view] * batch, [nobody] * batch, [0] * batch)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What the work made, its milliseconds, and the thread's milliseconds of processor time."""
    wall, processor = time.perf_counter(), time.thread_time()
    made = work()
    return made, 1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - processor)


def measure(made: BlendedRanking, keys: Ints, prefixes: list[Ints], batch: int, rounds: int) -> dict[str, Any]:
    """Quantiles of one batch size: look-up, blend (features, scores, order, shares), both together."""
    rng = np.random.default_rng(batch)
    found: list[tuple[float, ...]] = []
    for _ in range(rounds + 20):
        sessions, pages = requests(made, keys, prefixes, batch, rng)
        matches = made._matches(sessions, pages)  # noqa: SLF001 - the encoder's search is not what is measured
        proposed = made.items.columns.keys[np.maximum(matches.rows, 0)]
        prefix = made.items.columns.keys[np.maximum(sessions.ring, 0)] * (sessions.ring >= 0)
        _, look, look_processor = timed(
            lambda: made.learning.hear(pages.tenants, np.ascontiguousarray(prefix[:, ::-1]), proposed, TOP, TOP_PAIRS)  # noqa: B023
        )
        _, _, said = made.opinions(sessions, pages)

        def blend() -> None:
            features = blend_features(said)  # noqa: B023 - called at once
            scores = softmax(made.blend.score(features))
            best = np.argsort(-scores, axis=1)[:, :63]
            voices(made.blend, features, said.items >= 0, best)  # noqa: B023

        _, mix, mix_processor = timed(blend)
        found.append((look, mix, look + mix, look_processor, mix_processor, look_processor + mix_processor))
    table = np.array(found[20:])
    line: dict[str, Any] = {"batch": batch}
    for column, name in enumerate(("look_up", "blend", "both", "look_up_cpu", "blend_cpu", "both_cpu")):
        line[f"{name}_ms_p50"] = round(float(np.median(table[:, column])), 3)
        line[f"{name}_ms_p99"] = round(float(np.percentile(table[:, column], 99)), 3)
    line["both_ms_p50_per_row"] = round(line["both_ms_p50"] / batch, 3)
    line["both_cpu_ms_p50_per_row"] = round(line["both_cpu_ms_p50"] / batch, 3)
    return line


def main() -> None:
    """Parse arguments, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.txt.gz and test.txt.gz; drawn if left out")
    parser.add_argument("--items", type=int, default=40_000, help="items of a drawn shop")
    parser.add_argument("--sessions", type=int, default=200_000, help="sessions in the index, the newest of a log")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    rng, started = np.random.default_rng(1), os.getloadavg()
    if options.data is not None:
        items, sessions, prefixes = read(options.data)
    else:
        sessions = drawn(options.items, options.sessions, rng)
        items, prefixes = options.items, [session[:-1] for session in sessions[:4000]]
    made, keys = ranking(items, sessions[-options.sessions :], rng)
    results = []
    for batch in options.batch:
        results.append(measure(made, keys, prefixes, batch, options.rounds))
        print(" ".join(f"{name}={value}" for name, value in results[-1].items()), flush=True)  # noqa: T201 - the stub has no rich
    if options.out is not None:
        about = {
            "machine": platform.processor() or platform.machine(),
            "numpy": np.__version__,
            "data": options.data.name if options.data else "drawn",
            "items": items,
            "sessions": min(len(sessions), options.sessions),
            "load_before": started,
            "load_after": os.getloadavg(),
        }
        options.out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

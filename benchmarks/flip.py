"""Event to page before, during and after a change of the model under load, and while the new version loads beside the old.

`python -m benchmarks.flip` starts a whole stack of its own, publishes a second version (the demo model with another session
encoder), and changes back and forth at 200 events a second: benchmarks/results/flip.json and .png. "During" are the events
whose time fell into the `DURING` seconds from the operator's command on: the change itself, and the first events of the
sessions, whose touches are replayed for the other encoder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.driver import Driver, Measured
from benchmarks.flip_picture import draw
from benchmarks.machine import describe
from benchmarks.systems import ITEMS
from contracts.releases import releases_folder
from contracts.settings import ROOT, Settings, resolve
from fusion import checkpoint
from nemesis.workload import publish_items
from stack import control
from stack.addresses import free_address, free_port
from stack.environment import overridden
from stack.flip import Operator
from stack.triton import ensure_exported
from stack.warmup import recorded, warm_up
from triton_models.registry import publish

RESULTS = ROOT / "benchmarks" / "results" / "flip.json"
NEW = 2
BEFORE, DURING, AFTER = 10.0, 5.0, 7.0
SKIP = 2.0  # of each load: the driver's connections and the processor's clock settle
LIMIT = 1.5


@dataclass(frozen=True)
class Change:
    """One load with something done in it, `done` seconds after which every worker had changed.

    Attributes:
        times: seconds of each event from the command on, negative before.
        latencies: event to page, milliseconds.
    """

    name: str
    done: float
    times: np.ndarray[Any, np.dtype[np.float64]]
    latencies: np.ndarray[Any, np.dtype[np.float64]]
    summary: dict[str, float]

    def p(self, percent: float, begin: float, end: float) -> float:
        """A percentile of the events in a span of seconds."""
        inside = (self.times >= begin) & (self.times < end)
        return float(np.percentile(self.latencies[inside], percent)) if inside.any() else float("nan")


def settings_of(var: Path) -> Settings:
    """A stack of its own on free ports."""
    return overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address()},
            # Late answers must be waited for: a fallback page would be a fast one.
            "triton": {"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 5000.0},
            "worker": {"metrics_address": free_address()},
            "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
            "gateway": {"port": free_port()},
            "stack": {"var": var, "controller_port": free_port(), "catalog_workers": 0, "gateway": False, "prometheus": False},
        },
    )


def other_version(artefact: Path, out: Path) -> Path:
    """The artefact with another session encoder: every tensor of it a little larger."""
    manifest = checkpoint.load_manifest(artefact)
    groups = {}
    for name in manifest["files"]:
        group = name.removesuffix(".safetensors")
        tensors = checkpoint.load_group(artefact, manifest, group)
        if group == "session":
            tensors = {key: array * np.float32(1.05) if array.dtype.kind == "f" else array for key, array in tensors.items()}
        groups[group] = tensors
    checkpoint.save(out, manifest, groups)
    return out


def under_load(name: str, driver: Driver, rate: float, act: Callable[[], float], seconds: float) -> Change:
    """Load, with `act` after `SKIP + BEFORE` seconds in a thread of its own; it returns how long it took."""
    told: list[float] = []

    def later() -> None:
        time.sleep(SKIP + BEFORE)
        told.append(time.monotonic())
        told.append(act())

    thread = threading.Thread(target=later)
    thread.start()
    measured: Measured = driver.load(rate, SKIP + BEFORE + seconds)
    thread.join()
    if len(told) < 2:
        message = f"{name} failed; its error stands above"
        raise RuntimeError(message)
    times = np.array(measured.due) - told[0]
    return Change(name, told[1], times, np.array(measured.latencies), measured.summary())


def load_beside(operator: Operator, var: Path) -> float:
    """Start the new version and have it answer the recorded requests."""
    begun = time.monotonic()
    operator.start(NEW)
    asyncio.run(warm_up(operator.address_of(NEW), NEW, recorded(var)))
    operator.is_warm(NEW)
    return time.monotonic() - begun


def run(options: argparse.Namespace, console: Console) -> list[Change]:
    """Every load."""
    with TemporaryDirectory() as folder:
        settings = settings_of(Path(folder) / "var")
        artefact = other_version(resolve(settings.model.path), Path(folder) / "artefact")
        publish(artefact, releases_folder(settings), based_on=ensure_exported(settings))
        console.print("starting a stack")
        control.start(settings, patience_seconds=240, progress=lambda _: None)
        try:
            publish_items(settings, ITEMS)
            time.sleep(3.0)
            driver = Driver(settings.kafka, [f"i{number}" for number in range(ITEMS)])
            operator = Operator(settings)
            driver.load(options.rate, 15)  # fills the sessions, and the recording of requests
            changes = [
                under_load(
                    "load", driver, options.rate, lambda: load_beside(operator, resolve(settings.stack.var)), options.loading
                )
            ]
            for number in range(options.flips):
                act = (lambda: operator.flip(NEW)) if number == 0 else operator.roll_back
                changes.append(under_load(f"change {number + 1}", driver, options.rate, act, DURING + AFTER))
                console.print(f"change {number + 1} of {options.flips}: {changes[-1].done * 1000:.0f} ms until told")
            driver.close()
        finally:
            control.stop(settings)
    return changes


def spans(change: Change) -> dict[str, float]:
    """p50 and p99 of the three spans, and how they compare."""
    found: dict[str, float] = {"seconds_until_every_worker_changed": change.done}
    ends = {"before": (-BEFORE, 0.0), "during": (0.0, DURING), "after": (DURING, DURING + AFTER)}
    for name, (begin, end) in ends.items():
        found |= {f"{name}_p50": change.p(50, begin, end), f"{name}_p99": change.p(99, begin, end)}
    found["p99_during_to_before"] = found["during_p99"] / found["before_p99"]
    found |= {"unanswered": change.summary["unanswered"], "sending_late_ms": change.summary["sending_late_ms"]}
    return {name: round(value, 3) for name, value in found.items()}


def report_of(changes: list[Change], rate: float, loads: tuple[float, float]) -> dict[str, Any]:
    """Everything for JSON."""
    loading, *flips = changes
    each = [spans(change) for change in flips]
    median = {name: round(statistics.median(one[name] for one in each), 3) for name in each[0]}
    end = loading.done  # of a load that ended earlier, all that there is
    beside = {
        "seconds": round(end, 2),
        "seconds_under_load": round(min(end, float(loading.times.max())), 2),
        **{f"before_p{p}": round(loading.p(p, -BEFORE, 0), 3) for p in (50, 99)},
        **{f"while_loading_p{p}": round(loading.p(p, 0, end), 3) for p in (50, 99)},
        "unanswered": loading.summary["unanswered"],
    }
    return {
        "machine": {**describe(), "load_before": round(loads[0], 2), "load_after": round(loads[1], 2)},
        "rate": rate,
        "flips": each,
        "median": median,
        "wanted": {"p99_during_to_before": LIMIT},
        "new_version_loads_beside": beside,
    }


def show(report: dict[str, Any], console: Console) -> None:
    """The table."""
    table = Table("change", "before p50 / p99", "during p50 / p99", "after p50 / p99", "p99 during : before", "until told")
    for number, one in enumerate([*report["flips"], report["median"]]):
        pairs = (f"{one[f'{name}_p50']:.1f} / {one[f'{name}_p99']:.1f} ms" for name in ("before", "during", "after"))
        name = "median" if number == len(report["flips"]) else str(number + 1)
        told = f"{one['seconds_until_every_worker_changed'] * 1000:.0f} ms"
        table.add_row(name, *pairs, f"{one['p99_during_to_before']:.2f}", told)
    console.print(table)
    beside = report["new_version_loads_beside"]
    console.print(
        f"new version loading beside: {beside['seconds']:.1f} s; p99 {beside['before_p99']:.1f} ms before, "
        f"{beside['while_loading_p99']:.1f} ms meanwhile"
    )


def main() -> None:
    """Parse arguments, measure, write JSON and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="events a second")
    parser.add_argument("--flips", type=int, default=5, help="changes, there and back in turn")
    parser.add_argument("--loading", type=float, default=40.0, help="seconds of load while the new version starts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write; the picture lies beside it")
    options = parser.parse_args()
    console = Console(width=140)
    before = os.getloadavg()[0]
    changes = run(options, console)
    report = report_of(changes, options.rate, (before, os.getloadavg()[0]))
    show(report, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw(changes, report, options.out.with_suffix(".png"))
    console.print(f"wrote {options.out}")


if __name__ == "__main__":
    main()

"""`python -m benchmarks.real_input`: a real catalogue with photos and real clicks through stacks of their own.

1. Photos: `vitrine catalog load` of a folder of products is broken off on the way and called again; items a second through
   encoder and topic, and how many of the first call were not done twice.
2. Clicks: `vitrine train clicks` on one table, `vitrine replay` of another as fast as it goes: events a second until every
   visitor has the page of the last click, and the milliseconds of those pages. The items have neither text nor picture.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks import machine
from consumers.pages import PageSubscriber
from contracts.settings import ROOT, Settings
from producers.readers import yoochoose
from stack import control
from stack.addresses import free_address, free_port
from stack.environment import child_environment, overridden

RESULTS = Path(__file__).parent / "results"
DATA = ROOT.parent / "shared" / "data"
_RATE = re.compile(r"(\d+) items encoded in ([\d.]+) s, ([\d.]+) items a second")
_SKIPPED = re.compile(r"(\d+) items are recommendable already")


@contextmanager
def stack(folder: Path, **groups: dict[str, Any]) -> Iterator[Settings]:
    """A whole stack on free ports, stopped at the end."""
    own: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address()},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        "gateway": {"port": free_port()},
        "stack": {"var": folder, "controller_port": free_port(), "prometheus": False, "gateway": False},
    }
    settings = overridden(Settings(), {name: {**own.get(name, {}), **groups.get(name, {})} for name in {*own, *groups}})
    control.start(settings, patience_seconds=180, progress=lambda _: None)
    try:
        yield settings
    finally:
        control.stop(settings)


def vitrine(settings: Settings, *arguments: str, broken_off_after: float | None = None) -> str:
    """Output of one command; with `broken_off_after` it gets Ctrl-C after so many seconds.

    Raises:
        subprocess.CalledProcessError: it failed without having been broken off.
    """
    command = [sys.executable, "-m", "cli", *arguments]
    running = subprocess.Popen(command, cwd=ROOT, env=child_environment(settings), stdout=subprocess.PIPE, text=True)
    try:
        out, _ = running.communicate(timeout=broken_off_after)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate()
    else:
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, command, out)
    return out


def photos(products: Path, seconds_before_break: float, folder: Path) -> dict[str, Any]:
    """Load all products of a folder in two calls, the first broken off; figures of the second and of both."""
    with stack(folder) as settings:
        vitrine(settings, "catalog", "load", str(products), "--tenant", "fashion", broken_off_after=seconds_before_break)
        out = vitrine(settings, "catalog", "load", str(products), "--tenant", "fashion")
    rate, skipped = _RATE.search(out), _SKIPPED.search(out)
    if rate is None:
        return {"items_before_the_break": int(skipped[1]) if skipped else 0, "note": "the first call was not broken off"}
    return {
        "items_before_the_break": int(skipped[1]) if skipped else 0,
        "items_after_it": int(rate[1]),
        "seconds": float(rate[2]),
        "items_per_second": float(rate[3]),
    }


def clicks(train: Path, test: Path, limit: int, folder: Path) -> dict[str, Any]:
    """Train on one table, replay another, and follow the pages until every visitor's last click is answered."""
    artefact = f"real-{limit}"
    began = time.monotonic()
    vitrine(Settings(), "train", "clicks", "--sessions", str(train), "--name", artefact, "--tenant", "yoochoose")
    minutes = (time.monotonic() - began) / 60
    wanted = _last_clicks(test, limit)
    with stack(folder, model={"path": ROOT / "var" / "artefacts" / artefact}) as settings:
        publish = ["replay", str(test), "--tenant", "yoochoose", "--limit", str(limit)]
        with PageSubscriber(settings.kafka, timeout_seconds=60) as pages:
            began = time.monotonic()
            replaying = subprocess.Popen([sys.executable, "-m", "cli", *publish], cwd=ROOT, env=child_environment(settings))
            found = _follow(pages, wanted)
            seconds = time.monotonic() - began
            replaying.wait()
    return {
        "training_minutes": round(minutes, 2),
        "events": limit,
        "visitors": len(wanted),
        "seconds": round(seconds, 2),
        **found,
    }


def _last_clicks(table: Path, limit: int) -> dict[str, str]:
    """Event id of the last of the first `limit` clicks of each visitor."""
    last: dict[str, str] = {}
    for number, event in enumerate(yoochoose.read_events(table, "yoochoose")):
        if number == limit:
            break
        last[event.visitor_id] = event.event_id
    return last


def _follow(pages: PageSubscriber, wanted: dict[str, str]) -> dict[str, Any]:
    """Read pages until each visitor has that of the last click; how they were made."""
    left, delays, degraded, sources, count = dict(wanted), [], 0, 0, 0
    for page in pages:
        count += 1
        degraded += page.degraded
        delays.append(page.latency_ms.event_to_emit)
        sources += any(item.source != "popular" for item in page.placements[0].items)
        if left.get(page.visitor_id) == page.trigger_event_id:
            del left[page.visitor_id]
        if not left:
            break
    p50, p99 = np.percentile(delays, [50, 99])
    return {
        "pages": count,
        "pages_by_the_model": round(sources / max(count, 1), 4),
        "degraded": degraded,
        "visitors_without_their_last_page": len(left),
        "event_to_emit_ms": {"p50": round(float(p50), 1), "p99": round(float(p99), 1)},
    }


def main(
    products: Annotated[Path, typer.Option(help="Folder with products_44446.csv.gz and images_224.tar.")] = DATA
    / "fashion_products",
    sessions: Annotated[Path, typer.Option(help="Folder with train_full.tsv.gz and test.tsv.gz.")] = DATA
    / "sessions"
    / "yoochoose_100k_timestamped",
    limit: Annotated[int, typer.Option(min=100, help="Clicks to replay.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=5, help="Before the first load is broken off.")] = 15.0,
) -> None:
    """Measure, and write benchmarks/results/real_input.json."""
    about, console = machine.describe(), Console()
    with tempfile.TemporaryDirectory(prefix="vitrine-real-") as folder:
        of_clicks = clicks(sessions / "train_full.tsv.gz", sessions / "test.tsv.gz", limit, Path(folder) / "clicks")
        console.print(of_clicks)
        of_photos = photos(products, seconds, Path(folder) / "photos")
        console.print(of_photos)
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": about, "photos": of_photos, "clicks": of_clicks}
    (RESULTS / "real_input.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

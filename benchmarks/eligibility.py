"""From a catalogue record to an item that may be recommended: the catalogue worker, the encoder and the live index."""

from __future__ import annotations

import base64
import io
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image as Picture
from PIL import ImageDraw

from benchmarks.driver import Driver
from benchmarks.hand_loop import BlockingRanker, finished
from contracts.catalog import CatalogItem, Image
from contracts.errors import VitrineError
from contracts.settings import ROOT, Settings
from producers.publisher import CatalogPublisher
from stack.addresses import free_address
from stack.environment import child_environment, overridden
from stack.process import Child
from triton_models.servable_ranker import probe

LOAD = 200.0  # events per second
_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 30.0


class NotEligible(VitrineError):
    """An item did not get into the index in time."""


def product(number: int, run: int) -> CatalogItem:
    """A new item with a title, a description and a drawn picture."""
    picture = Picture.new("RGB", (96, 96), (250, 250, 250))
    colour = ((37 * number) % 256, (91 * number) % 256, (13 * number) % 256)
    ImageDraw.Draw(picture).ellipse((12, 12, 84, 84), fill=colour)
    out = io.BytesIO()
    picture.save(out, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return CatalogItem(
        item_id=f"new-{run}-{number}",
        title=f"round lamp number {number}",
        description=f"A lamp of edition {run}, made of paper and wood.",
        categories=("Home > Lamps",),
        price=20.0 + number,
        images=(Image(uri),),
    )


def measure(settings: Settings, driver: Driver, var: Path, count: int, tell: Callable[[str], object]) -> dict[str, Any]:
    """Seconds from sending a record until the ranker counts its item among those that may answer.

    Args:
        settings: of the product: the topics that Triton follows.
        driver: of the product, for the load.
        var: for the log of the catalogue worker.
        count: items, first on an idle product, then the same number under `LOAD` events per second.
        tell: receives a line of progress.

    Raises:
        NotEligible: an item is not eligible after half a minute.
    """
    own = {"role": "catalog", "metrics_address": free_address(), "data_dir": var / "catalog"}
    worker = overridden(settings, {"worker": own})
    child = Child("catalog", [sys.executable, "-m", "streams"], child_environment(worker), var / "log" / "catalog.log", ROOT)
    child.start()
    ranker = BlockingRanker(settings)
    try:
        with CatalogPublisher(settings.kafka) as publisher:
            _one(publisher, ranker, product(0, 0))  # waits for the worker's start
            idle = [_one(publisher, ranker, product(number, 1)) for number in range(count)]
            tell(f"eligible after {statistics.median(idle):.2f} s (median, idle)")
            loaded: list[float] = []
            is_over = threading.Event()
            load = threading.Thread(target=_load, args=(driver, is_over), daemon=True)
            load.start()
            try:
                loaded += [_one(publisher, ranker, product(number, 2)) for number in range(count)]
            finally:
                is_over.set()
                load.join()
            tell(f"eligible after {statistics.median(loaded):.2f} s (median, at {LOAD:.0f} events/s)")
    finally:
        child.stop(5)
    return {"idle_s": _summary(idle), f"at_{LOAD:.0f}_per_s": _summary(loaded)}


def _load(driver: Driver, is_over: threading.Event) -> None:
    while not is_over.is_set():
        driver.load(LOAD, 1.0, drain_seconds=0.0)


def _size(ranker: BlockingRanker) -> int:
    return int(finished(ranker.rank(probe(1))).index_size)


def _one(publisher: CatalogPublisher, ranker: BlockingRanker, item: CatalogItem) -> float:
    before = _size(ranker)
    started = time.monotonic()
    publisher.upsert(item)
    while _size(ranker) <= before:
        if time.monotonic() - started > _PATIENCE_SECONDS:
            message = f"{item.item_id} is not in the index after {_PATIENCE_SECONDS:.0f} s"
            raise NotEligible(message)
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


def _summary(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {"items": len(seconds), "p50": cuts[49], "p95": cuts[94], "max": max(seconds)}
    return {name: round(value, 3) for name, value in found.items()}

"""`python -m benchmarks.click_to_pixels`: a visitor's click until the page that answers it is painted, in a real Chromium.

Needs a running stack with the demo shop (`make up`). Each sample is a real mouse click on a product of the grid; the clock is
the browser's own: from the `click` event to the second animation frame after the grid was replaced, so that layout and paint
are inside. That is the whole way: browser, gateway, Kafka, worker, Triton, Kafka, gateway, server-sent event, browser.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.progress import track

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# A click asks for one page; the grid it replaces may change once more later, which is not counted.
_WATCH = """() => {
  window.samples = [];
  let clicked = null;
  document.addEventListener("click", event => { clicked = event.timeStamp; }, true);
  const main = document.querySelector("#main");
  let last = Number(main.dataset.sequence || 0);
  new MutationObserver(() => {
    const sequence = Number(main.dataset.sequence || 0);
    if (clicked === null || sequence <= last) { last = Math.max(last, sequence); return; }
    last = sequence;
    const since = clicked;
    clicked = null;
    requestAnimationFrame(() => requestAnimationFrame(() => window.samples.push(performance.now() - since)));
  }).observe(main, { attributes: true, attributeFilter: ["data-sequence"] });
}"""
_TILES = "#grid .tile:not(.skeleton) a"


def sample(page: Page, count: int) -> list[float]:
    """Milliseconds of `count` clicks, each on a product of the page that the click before it brought."""
    page.wait_for_selector(_TILES)
    page.evaluate(_WATCH)
    for number in track(range(count), description="clicking"):
        tiles = page.locator(_TILES)
        tiles.nth(number % max(1, min(6, tiles.count()))).click()
        page.wait_for_function("wanted => window.samples.length >= wanted", arg=number + 1, timeout=15_000)
    found: list[float] = page.evaluate("window.samples")
    return found


def main(
    url: Annotated[str, typer.Option(help="Of the demo shop.")] = "http://127.0.0.1:8080/",
    clicks: Annotated[int, typer.Option(min=10, help="How many, after ten that warm up.")] = 100,
) -> None:
    """Click through the running demo shop and write benchmarks/results/click_to_pixels.json."""
    about = machine.describe()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        samples = sample(page, clicks + 10)[10:]
        browser.close()
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(samples, [50, 95, 99]))
    found: dict[str, Any] = {"clicks": len(samples), "ms": {"p50": p50, "p95": p95, "p99": p99, "max": round(max(samples), 1)}}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "click_to_pixels.json").write_text(json.dumps({"machine": about, **found}, indent=1) + "\n")
    Console().print(found)


if __name__ == "__main__":
    typer.run(main)

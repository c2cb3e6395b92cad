"""`python -m benchmarks.small`: what a shop of 200 items can recommend after 10 to 1,000 sessions; JSON and a picture.

Products and shoppers are the demo shop's. 200 products, as many of each type, are the small shop; the others are the bigger
shop, whose encoder and item vectors a warm start takes over. The two share no product and no shopper.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import machine, small_picture
from contracts.catalog import embedding_text
from contracts.errors import VitrineError
from contracts.settings import Settings, resolve
from shop.catalog import Product, catalog_item, products
from training.sessions.encoder import EncoderRecipe, SessionModel
from training.small.contenders import Start, compare
from training.small.shops import dataset, deal, visits
from training.small.text_vectors import kept, offline_encoder
from training.small.tuning import Tuning, tune
from training.small.warm_start import Bridge

RESULTS = Path(__file__).parent / "results"
DIM = 64
BIG_SEED, TEST_SEED, SMALL_SEED = 10_000_000, 20_000_000, 30_000_000


def start_of(small: tuple[Product, ...], big: tuple[Product, ...], count: int) -> tuple[Start, dict[str, Any]]:
    """Teach the bigger shop and build the bridge to the small one."""
    began = time.process_time()
    log = visits(big, count, BIG_SEED)
    torch.manual_seed(0)
    donor = SessionModel(len(big), EncoderRecipe(dim=DIM))
    _, losses = tune(donor, log, Tuning(8, targets=512, learning_rate=4e-3, negatives=2048))
    counts = np.bincount(np.concatenate(log), minlength=len(big)).astype(np.float64)
    texts = {product.item_id: embedding_text(catalog_item(product, Path("/unused"))) for product in products()}
    vectors = kept(resolve(Settings().stack.var) / "texts", list(texts.values()), offline_encoder())
    rows = {item_id: row for row, item_id in enumerate(texts)}
    content = vectors[[rows[product.item_id] for product in (*big, *small)]]
    bridge = Bridge.learn(content[: len(big)], donor.unit_vectors().numpy(), counts)
    about = {"sessions": count, "items": len(big), "losses": losses, "processor_seconds": round(time.process_time() - began, 1)}
    return Start(donor, bridge.place(content[len(big) :])), about


def merged(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and standard deviation over the seeds, by contender and metric."""
    return {
        name: {
            metric: {
                "mean": float(np.mean([run[name][metric] for run in runs])),
                "spread": float(np.std([run[name][metric] for run in runs], ddof=1)) if len(runs) > 1 else 0.0,
            }
            for metric in values
        }
        for name, values in runs[0].items()
    }


def main(
    size: Annotated[list[int] | None, typer.Option(help="Sessions of the small shop; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Logs of different shoppers, with other weights each.")] = 3,
    big: Annotated[int, typer.Option(min=100, help="Sessions of the bigger shop.")] = 3000,
    tests: Annotated[int, typer.Option(min=50, help="Test sessions.")] = 400,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "small.json",
) -> None:
    """Measure all contenders at each size; about eight minutes on one core."""
    torch.set_num_threads(1)
    console, about = Console(), machine.describe() | {"threads": 1}
    sizes = sorted(size or (10, 30, 100, 300, 1000))
    shops = deal()
    began = time.process_time()
    with Progress(console=console) as progress:
        task = progress.add_task("the bigger shop", total=1 + len(sizes) * seeds)
        start, donor = start_of(shops.small, shops.big, big)
        asked = visits(shops.small, tests, TEST_SEED)
        progress.advance(task)
        curve = []
        for sessions in sizes:
            runs = []
            for seed in range(seeds):
                progress.update(task, description=f"{sessions} sessions, seed {seed}")
                log = visits(shops.small, sessions, SMALL_SEED + 100_000 * seed)
                runs.append(compare(dataset("small", len(shops.small), log, asked), DIM, seed, start))
                progress.advance(task)
            curve.append({"sessions": sessions, "models": merged(runs), "runs": runs})
    result = {
        "machine": about,
        "items": len(shops.small),
        "test_sessions": tests,
        "test_queries": sum(len(session) - 1 for session in asked),
        "seeds": seeds,
        "donor": donor,
        "curve": curve,
        "processor_minutes": round((time.process_time() - began) / 60, 2),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    small_picture.draw(result, out.with_suffix(".png"))
    console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.small: {error}", err=True)
        sys.exit(2)

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
from rich.progress import track

from benchmarks import machine, small_picture
from contracts.catalog import embedding_text
from contracts.errors import VitrineError
from contracts.settings import Settings, resolve
from shop.catalog import catalog_item, products
from training.sessions.encoder import EncoderRecipe, SessionModel
from training.small.contenders import Start, compare
from training.small.shops import Shops, dataset, deal, visits
from training.small.text_vectors import kept, offline_encoder
from training.small.tuning import Tuning, tune
from training.small.warm_start import Bridge

RESULTS = Path(__file__).parent / "results"
DIM, SIZES = 64, (10, 30, 100, 300, 1000)
BIG_SEED, TEST_SEED, SMALL_SEED = 10_000_000, 20_000_000, 30_000_000


def start_of(shops: Shops, count: int, var: Path) -> tuple[Start, dict[str, Any]]:
    """Teach the bigger shop, or read what it was taught before, and build the bridge to the small one."""
    file = var / "small" / f"donor-{count}.npz"
    texts = {product.item_id: embedding_text(catalog_item(product, Path("/unused"))) for product in products()}
    vectors = kept(var / "texts", list(texts.values()), offline_encoder())
    content = dict(zip(texts, vectors, strict=True))
    log = visits(shops.big, count, BIG_SEED)
    torch.manual_seed(0)
    donor = SessionModel(len(shops.big), EncoderRecipe(dim=DIM)).eval()
    if file.exists():
        with np.load(file, allow_pickle=False) as held:
            donor.load_state_dict({name: torch.from_numpy(held[name]) for name in held.files})
    else:
        tune(donor, log, Tuning(8, targets=512, learning_rate=4e-3, negatives=2048))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{name: tensor.numpy() for name, tensor in donor.state_dict().items()})
    counts = np.bincount(np.concatenate(log), minlength=len(shops.big)).astype(np.float64)
    bridge = Bridge.learn(np.stack([content[product.item_id] for product in shops.big]), donor.unit_vectors().numpy(), counts)
    placed = bridge.place(np.stack([content[product.item_id] for product in shops.small]))
    return Start(donor, placed), {"sessions": count, "items": len(shops.big)}


def curve_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs by size, with mean and standard deviation over the seeds by contender and metric."""
    sizes = sorted({run["sessions"] for run in runs})
    return [{"sessions": size, "models": merged([run["models"] for run in runs if run["sessions"] == size])} for size in sizes]


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
    seed: Annotated[
        list[int] | None, typer.Option(help="Which shoppers and weights; may be repeated. 0, 1, 2 by default.")
    ] = None,
    big: Annotated[int, typer.Option(min=100, help="Sessions of the bigger shop.")] = 2500,
    tests: Annotated[int, typer.Option(min=50, help="Test sessions.")] = 300,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "small.json",
) -> None:
    """Measure all contenders at each size; about five minutes on one core.

    A run of a size and a seed that the result file holds is not repeated; remove the file to measure anew.
    """
    torch.set_num_threads(1)
    console, about = Console(), machine.describe() | {"threads": 1}
    shops = deal()
    start, donor = start_of(shops, big, resolve(Settings().stack.var))
    asked = visits(shops.small, tests, TEST_SEED)
    runs = json.loads(out.read_text())["runs"] if out.exists() else []
    wanted = [(sessions, number) for sessions in size or SIZES for number in seed or (0, 1, 2)]
    wanted = [pair for pair in wanted if pair not in {(run["sessions"], run["seed"]) for run in runs}]
    for sessions, number in track(wanted, "shops", console=console):
        began = time.process_time()
        log = visits(shops.small, sessions, SMALL_SEED + 100_000 * number)
        found = compare(dataset("small", len(shops.small), log, asked), DIM, number, start)
        seconds = round(time.process_time() - began, 1)
        runs.append({"sessions": sessions, "seed": number, "models": found, "processor_seconds": seconds})
        result = {
            "machine": about,
            "items": len(shops.small),
            "test_sessions": tests,
            "test_queries": sum(len(session) - 1 for session in asked),
            "seeds": len({run["seed"] for run in runs}),
            "donor": donor,
            "curve": curve_of(runs),
            "processor_minutes": round(sum(run["processor_seconds"] for run in runs) / 60, 2),
            "runs": sorted(runs, key=lambda run: (run["sessions"], run["seed"])),
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

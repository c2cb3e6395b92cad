"""`python -m benchmarks.robustness`: quality under wrong texts, pictures and clicks, bots, stuffed titles; who is shown.

Texts, pictures, stuffing and exposure: the demo shop with the artefact that is served. Chance clicks and bots: real sessions.
A part's figures replace its older ones in the result file; the other parts stay.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks import machine, robustness_picture
from benchmarks.quality import data_folder
from contracts.errors import VitrineError
from contracts.settings import Settings, resolve
from shop.catalog import products
from shop.taste import shelf_of
from training.demo_clicks import Visit, browse
from training.robustness import click_trial, content_trial, fairness_trial, stuffing_trial
from training.robustness.served_shop import Encode, Served, ask, load
from training.sessions.data import read_sessions
from training.small.text_vectors import kept, offline_encoder

RESULTS = Path(__file__).parent / "results"
PARTS = ("content", "stuffing", "fairness", "clicks")
TEST_SEED = 40_000_000
"""First of shoppers whom no training has seen."""


def demo(visits: int, console: Console) -> tuple[Served, list[Visit], Encode]:
    """The served shop, test visits and the text encoder."""
    var = resolve(Settings().stack.var)
    encode = offline_encoder()
    with console.status("drawing and reading the demo shop"):
        served = load(
            resolve(Settings().model.path), var / "shop" / "images", lambda texts: kept(var / "texts", list(texts), encode)
        )
        tests = browse(shelf_of(products()), visits, TEST_SEED, may_see_new=True, tick=lambda: None)
    return served, tests, encode


def of_content(console: Console, visits: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Texts and pictures."""
    served, tests, encode = demo(visits, console)
    rows = content_trial.chosen_rows(served, 300, 0)
    found = content_trial.run(content_trial.Trial(served, tests, rows, encode), step)
    return {"products": len(served.texts), "changed_products": len(rows), "visits": len(tests), "conditions": found}


def of_stuffing(console: Console, visits: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Stuffed titles."""
    served, tests, encode = demo(visits, console)
    who = stuffing_trial.attackers(served, 30, 0)
    found = stuffing_trial.run(served, tests, who, encode, step)
    return {"attackers": {"known": len(who.known), "new": len(who.new)}, "visits": len(tests), "attacks": found}


def of_fairness(console: Console, visits: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Exposure."""
    served, tests, _ = demo(visits, console)
    return fairness_trial.run(served, ask(served, tests), step)


def of_clicks(data: Path, sessions: int, epochs: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Chance clicks and bots."""
    log = click_trial.cut_out(read_sessions(data).full, sessions, 2000, 3000, 0)
    step("learning from people alone")
    clean = click_trial.Learned.from_sessions(log.sessions, log.items, epochs, 0)
    return {
        "data": data.name,
        "sessions": len(log.sessions),
        "items": log.items,
        "queries": len(log.queries),
        "chance_clicks": click_trial.chance_clicks(log, clean, step),
        "bots": click_trial.bots(log, clean, epochs, step),
    }


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}; may be repeated. All by default.")] = None,
    visits: Annotated[int, typer.Option(min=20, help="Test visits of the demo shop.")] = 250,
    data: Annotated[Path | None, typer.Option(help="Folder of sessions; by default yoochoose1_64 of the data sets.")] = None,
    sessions: Annotated[int, typer.Option(min=200, help="Newest sessions that are learned from.")] = 12_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the encoder on them.")] = 6,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "robustness.json",
) -> None:
    """Measure; about seven minutes on one core."""
    unknown = set(only or ()) - set(PARTS)
    if unknown:
        message = f"{', '.join(sorted(unknown))}, expected some of {', '.join(PARTS)}"
        raise typer.BadParameter(message, param_hint="--only")
    torch.set_num_threads(1)
    console = Console()

    def step(name: str) -> None:
        console.print(f"  {name}", highlight=False)

    folder = data or data_folder() / "sessions" / "yoochoose1_64"
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "content": lambda: of_content(console, visits, step),
        "stuffing": lambda: of_stuffing(console, visits, step),
        "fairness": lambda: of_fairness(console, visits, step),
        "clicks": lambda: of_clicks(folder, sessions, epochs, step),
    }
    for name in only or PARTS:
        if name == "clicks" and not folder.exists():
            console.print(
                f"clicks skipped: {folder} is not there (SHARED_DATA names the folder of the data sets)", soft_wrap=True
            )
            continue
        console.print(name, style="bold")
        began, about = time.process_time(), machine.describe() | {"threads": 1}
        figures = parts[name]()
        minutes = round((time.process_time() - began) / 60, 2)
        result = json.loads(out.read_text()) if out.exists() else {}
        result[name] = {"machine": about, "processor_minutes": minutes, **figures}
        out.parent.mkdir(parents=True, exist_ok=True)
        ordered = {part: result[part] for part in PARTS if part in result}
        out.write_text(json.dumps(ordered, indent=1, default=_plain) + "\n", encoding="utf-8")
        robustness_picture.draw(ordered, out.with_suffix(".png"))
    console.print(f"written: {out}", soft_wrap=True)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    message = f"{type(value).__name__} in a result"
    raise TypeError(message)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.robustness: {error}", err=True)
        sys.exit(2)

"""`vitrine train towers`: the picture network, taught by the titles of the shop's own products."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.train_commands import TRAIN


def register(_app: typer.Typer) -> None:
    """Add `vitrine train towers` below `vitrine train`."""
    TRAIN.command("towers")(towers)


def towers(
    *,
    data: Annotated[
        Path,
        typer.Option(
            help="Products with pictures: items as .jsonl, or a folder with products_44446.csv.gz and images_224.tar."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the weights and of report.json.")] = Path("var/towers/pictures"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pictures.")] = 10,
    batch: Annotated[int, typer.Option(min=2, help="Pairs of a step; each picture is told from the others' titles.")] = 128,
    text_encoder: Annotated[str | None, typer.Option(help="Name or path; by default VITRINE_MODEL__TEXT_ENCODER.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 2,
) -> None:
    """Teach our compact picture network what a shop's pictures show, by contrast with the titles (InfoNCE).

    Needs no labels and nothing from a network. 80 % of the products teach, by the hash of their id, and 10 % measure, before
    and after: how well titles find pictures and pictures titles. VITRINE_MODEL__IMAGE_ENCODER=OUT makes the next training
    (`vitrine train demo`) use these weights.

        vitrine train towers --data items.jsonl --out var/towers/pictures
    """
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from contracts.settings import Settings, resolve
    from training.demo_pictures import PictureRecipe
    from training.fusion.towers import TowerRecipe, train_folder

    torch.set_num_threads(threads)
    console = Console()
    recipe = TowerRecipe(pictures=PictureRecipe(epochs=epochs, batch=batch), seed=seed)
    with Progress(TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        tasks = {stage: progress.add_task(stage, total=1.0) for stage in ("pictures", "titles", "learning")}

        def tick(stage: str, share: float) -> None:
            progress.update(tasks[stage], completed=share)

        figures = train_folder(data, resolve(out), text_encoder or Settings().model.text_encoder, recipe, tick)
    table = Table(
        "", "Recall@1", "Recall@10", "MRR", title=f"{figures['tested on']} products that training did not see", box=None
    )
    for when in ("before", "after"):
        for way, row in figures[when].items():
            table.add_row(f"{way}, {when}", *(f"{row[name]:.3f}" for name in ("Recall@1", "Recall@10", "MRR")))
    console.print(table)
    console.print(f"weights and report: {resolve(out)}", soft_wrap=True)

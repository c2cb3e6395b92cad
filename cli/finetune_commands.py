"""`vitrine finetune`, `vitrine heads`, `vitrine classify`: towers tuned to a shop's labels, and heads used by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from training.finetune.recipe import Recipe
    from training.finetune.run import Bases

Data = Annotated[Path, typer.Option("--data", help="A .jsonl file of catalogue items, or a folder with products_44446.csv.gz.")]
Heads = Annotated[Path, typer.Option(help="Folder of the heads.")]
HEADS = Path("var/heads")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(finetune)
    app.command()(heads)
    app.command()(classify)


def _bases(text_encoder: str | None, image_encoder: str | None, side: int) -> Bases:
    from contracts.settings import Settings, resolve
    from training.finetune.run import Bases

    model = Settings().model
    return Bases(text_encoder or model.text_encoder, image_encoder or str(resolve(model.path)), side)


def finetune(
    *,
    data: Data,
    task: Annotated[str, typer.Option(help="Label: article_type, base_colour, master_category, sub_category, any attribute.")],
    mode: Annotated[Literal["full", "lora", "frozen"], typer.Option(help="What is trained beside the head.")] = "lora",
    towers: Annotated[Literal["text", "image", "both"], typer.Option(help="What the head reads.")] = "text",
    head: Annotated[str | None, typer.Option(help="Keep the head under this name; by default that of the task.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="A seeded sample of so many items to learn from.")] = None,
    rare: Annotated[int, typer.Option(min=1, help="Classes with fewer items to learn from are left out.")] = 10,
    optimizer: Annotated[Literal["adamw", "sgd"], typer.Option(help="Of the weights.")] = "adamw",
    rate: Annotated[float, typer.Option(help="Highest learning rate of pretrained weights (mode full).")] = 5e-5,
    adapter_rate: Annotated[float, typer.Option(help="The same of adapters (mode lora).")] = 1e-3,
    head_rate: Annotated[float, typer.Option(help="The same of the head.")] = 1e-2,
    decay: Annotated[Literal["linear", "cosine"], typer.Option(help="Of the rates, after a tenth of warm-up.")] = "linear",
    batch: Annotated[int, typer.Option(min=1, help="Items of a step, over all processes; 32 and 64 are usual.")] = 32,
    fewest: Annotated[int, typer.Option(min=1, help="Epochs before convergence may stop it.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="Epochs at which it stops anyway.")] = 50,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without a gain in validation macro-F1: converged.")] = 3,
    freeze_layers: Annotated[int, typer.Option(min=0, help="First layers of the text tower that stay (mode full).")] = 0,
    rank: Annotated[int, typer.Option(min=1, help="Of the adapters (mode lora).")] = 8,
    dropout: Annotated[float, typer.Option(min=0, help="0 turns it off everywhere.")] = 0.1,
    text_encoder: Annotated[str | None, typer.Option(help="Name or path; by default VITRINE_MODEL__TEXT_ENCODER.")] = None,
    image_encoder: Annotated[
        str | None, typer.Option(help="Artefact or Hugging Face folder; by default VITRINE_MODEL__PATH.")
    ] = None,
    side: Annotated[int, typer.Option(min=16, max=512, help="Pixels of a photo's side.")] = 64,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training; by default var/finetune/TASK/TOWERS-MODE-seed.")
    ] = None,
    heads_folder: Annotated[Path, typer.Option("--heads", help="Folder of the heads.")] = HEADS,
    seed: Annotated[int, typer.Option(help="Of sample, order, dropout and adapters.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 2,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where it computes.")] = "auto",
) -> None:
    """Tune text and picture towers to a label of the catalogue: fully, by low-rank adapters (LoRA), or the head alone.

    Items are split by the hash of their id: 80 % to learn from, 10 % that stop the training, 10 % that measure it before and
    after. The folder gets report.html, report.json, the curves (tensorboard --logdir, or MLflow by
    VITRINE_TRACKING__BACKEND=mlflow) and, in the modes lora and full, the merged towers: OUT/text is a folder that
    VITRINE_MODEL__TEXT_ENCODER takes. The same command goes on where a kill ended it.

    On several processes, with the same result:

        torchrun --nproc-per-node 2 -m cli finetune --data DIR --task base_colour --threads 1
    """
    from contracts.settings import Settings, resolve
    from training.finetune.recipe import Recipe

    recipe = Recipe(
        mode=mode, towers=towers, optimizer=optimizer, rate=rate, adapter_rate=adapter_rate, head_rate=head_rate, decay=decay,
        batch=batch, fewest=fewest,
        most=most, patience=patience, freeze_layers=freeze_layers, rank=rank, dropout=dropout, seed=seed,
    )  # fmt: skip
    folder = resolve(out or Settings().stack.var / "finetune" / task / f"{towers}-{mode}-{seed}")
    bases = _bases(text_encoder, image_encoder, side)
    _prepare(threads)
    _finetune(data, (task, limit, rare), bases, recipe, (folder, device, resolve(heads_folder), head or task))


def _prepare(threads: int) -> None:
    import logging

    import torch

    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_num_threads(threads)


def _finetune(
    data: Path, chosen: tuple[str, int | None, int], bases: Bases, recipe: Recipe, places: tuple[Path, str, Path, str]
) -> None:
    from rich.console import Console

    from contracts.settings import Settings
    from training.distributed import joined_world
    from training.finetune import heads as shelf
    from training.finetune import report
    from training.finetune.data import read
    from training.finetune.run import run
    from training.tracking.port import tracker_of

    (task, limit, rare), (folder, device, heads_folder, head) = chosen, places
    shelf.path_of(heads_folder, head)
    items = read(data, task, bases.side if recipe.towers != "text" else None, limit, rare, recipe.seed)
    with (
        joined_world(device) as world,
        tracker_of(Settings().tracking, folder, f"finetune {task}", is_told=world.writes) as tracker,
    ):
        _, figures = run(items, bases, recipe, folder, tracker, world)
        if not world.writes:
            return
        page = report.write(figures, folder)
        tracker.file(folder / "report.md")
    shelf.save(heads_folder, head, *shelf.load(folder / "heads", "last"))
    console = Console()
    for line in report.heading(figures):
        console.print(line, highlight=False)
    for name, before, after in report.overall(figures):
        console.print(f"{name:<12} {before:.4f} -> {after:.4f}", highlight=False)
    console.print(f'report {page}\nhead   {head}: vitrine classify --head {head} "a title"', soft_wrap=True, highlight=False)


def heads(folder: Heads = HEADS) -> None:
    """List the task heads that `vitrine finetune` kept, with their task, classes and towers."""
    from rich.console import Console
    from rich.table import Table

    from contracts.settings import resolve
    from training.finetune import heads as shelf

    table = Table("head", "task", "classes", "towers", "mode", box=None)
    for name in shelf.names(resolve(folder)):
        about, _ = shelf.load(resolve(folder), name)
        table.add_row(name, about.task, str(len(about.classes)), about.towers, about.mode)
    Console().print(table if table.row_count else f"no heads in {resolve(folder)}; `vitrine finetune --head NAME` makes one")


def classify(
    titles: Annotated[list[str], typer.Argument(help="Titles of items.")],
    *,
    head: Annotated[str, typer.Option(help="Name of a head; `vitrine heads` lists them.")],
    best: Annotated[int, typer.Option(min=1, help="Classes to name for each title.")] = 3,
    folder: Annotated[Path, typer.Option("--heads", help="Folder of the heads.")] = HEADS,
) -> None:
    """Name the likeliest classes of titles by a head that `vitrine finetune` kept.

    vitrine classify --head base_colour "Puma Men Navy Running Shoes"
    """
    from contracts.settings import resolve
    from training.finetune import heads as shelf
    from training.finetune.run import answers

    _prepare(1)
    about, tensors = shelf.load(resolve(folder), head)
    for title, row in zip(titles, answers(about, tensors, tuple(titles), best), strict=True):
        typer.echo(f"{title}: " + ", ".join(f"{name} {chance:.0%}" for name, chance in row))

"""`vitrine train`: models from the demo shop or from a table of clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

TRAIN = typer.Typer(name="train", help="Train the models that Triton serves.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `vitrine train`."""
    app.add_typer(TRAIN)


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns)


def _stages(progress: Progress) -> Callable[[str, int], Callable[[], None]]:
    def stage(name: str, steps: int) -> Callable[[], None]:
        task = progress.add_task(name, total=steps)
        return lambda: progress.advance(task)

    return stage


def _prepare(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _show(report: Path, artefact: Path, metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("next item", "Recall@20", "MRR@20")
    for name, values in metrics["next_item"].items():
        if "recall@20" in values:
            table.add_row(name.replace("_", " "), f"{values['recall@20']:.3f}", f"{values['mrr@20']:.3f}")
    console = Console()
    console.print(table)
    console.print(f"artefact {artefact}\nreport   {report}", soft_wrap=True)


@TRAIN.command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the artefact.")] = Path("triton_models/artefacts/demo"),
    report: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("var/reports/demo"),
    seed: Annotated[int, typer.Option(help="Of weights and order; the shop and its shoppers have their own.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 2,
    only_ranker: Annotated[
        bool, typer.Option("--only-ranker", help="Keep the artefact's other networks and train its ranker anew.")
    ] = False,
) -> None:
    """Train the demo shop's models on simulated shoppers: a few minutes on two cores.

    VITRINE_MODEL__IMAGE_ENCODER and VITRINE_MODEL__TEXT_ENCODER name Hugging Face models to use in place of our own picture
    network and of MiniLM.
    """
    from contracts.settings import Settings, resolve
    from training.demo import DemoRecipe, train_demo, train_demo_ranker
    from training.demo_report import write_report

    _prepare(threads)
    settings = Settings()
    images = resolve(settings.stack.var) / "shop" / "images"
    recipe = DemoRecipe(seed=seed, text_encoder=settings.model.text_encoder, image_encoder=settings.model.image_encoder)
    train = train_demo_ranker if only_ranker else train_demo
    with _progress() as progress:
        metrics = train(resolve(out), images, recipe, _stages(progress))
    _show(write_report(metrics, resolve(report)), resolve(out), metrics)


@TRAIN.command("clicks")
def clicks(
    *,
    sessions: Annotated[Path, typer.Option(help="Table SessionId, ItemId, Time (tab-separated, perhaps .gz).")],
    name: Annotated[str, typer.Option(help="Name of the artefact, a folder below var/artefacts.")],
    dim: Annotated[int, typer.Option(min=8, help="Width of the item vectors.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the clicks.")] = 8,
    tenant: Annotated[str | None, typer.Option(help="Shop whose items these are (VITRINE_TENANT_ID).")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 2,
) -> None:
    """Train on a table of clicks; items without text or picture are then served by behaviour alone.

    Serve it with VITRINE_MODEL__PATH=var/artefacts/NAME.
    """
    import json

    from contracts.settings import Settings, resolve
    from training.clicks import ClicksRecipe, train_clicks
    from training.demo_recommender import Recipe

    _prepare(threads)
    settings = Settings()
    var = resolve(settings.stack.var)
    folder, report = var / "artefacts" / name, var / "reports" / name / "report.json"
    recommender = Recipe(epochs=epochs, modality_dropout=0.0)
    recipe = ClicksRecipe(dim=dim, seed=seed, tenant=tenant or settings.tenant_id, recommender=recommender)
    with _progress() as progress:
        metrics = train_clicks(sessions, folder, recipe, _stages(progress))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    _show(report, folder, metrics)

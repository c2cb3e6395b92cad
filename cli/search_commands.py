"""`vitrine search sessions|finetune`: hyper-parameters by Optuna."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.finetune_commands import Data

if TYPE_CHECKING:
    from optuna.trial import Trial

    from training.search.study import Plan

    Objective = Callable[[Trial], float]

SEARCH = typer.Typer(help="Search for hyper-parameters; a killed search goes on.", no_args_is_help=True)

Trials = Annotated[int, typer.Option(min=1, help="Finished and pruned trials in all, over all runs of the study.")]
Pruner = Annotated[Literal["median", "hyperband", "none"], typer.Option(help="What cuts hopeless trials short.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the study; by default var/search/NAME.")]
Seed = Annotated[int, typer.Option(help="Of sampler and trainings.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads that torch uses.")]


def register(app: typer.Typer) -> None:
    """Add `vitrine search`."""
    app.add_typer(SEARCH, name="search")


@contextmanager
def _bar(trials: int) -> Iterator[tuple[Callable[[float], None], Callable[[int], None]]]:
    """A bar over the trials; told each value, and how many trials are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns) as progress:
        task = progress.add_task("trials", total=trials, words="")
        yield (
            lambda value: progress.update(task, words=f"newest {value:.4f}"),
            lambda done: progress.update(task, completed=done),
        )


def _search(
    folder: Path, about: Mapping[str, Any], plan: Plan, figure: str, make: Callable[[Callable[[float], None]], Objective]
) -> None:
    import json

    from optuna.trial import TrialState
    from rich.console import Console

    from training.search import pictures
    from training.search.study import open_study, search, summary

    study = open_study(folder, about, plan)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    with _bar(plan.trials) as (value, done):
        done(len(study.get_trials(deepcopy=False, states=ended)))
        search(study, make(value), plan, lambda: done(len(study.get_trials(deepcopy=False, states=ended))))
    found = summary(study)
    (folder / "study.json").write_text(json.dumps({"figure": figure, **found}, indent=1) + "\n", encoding="utf-8")
    console = Console()
    if found["best"] is None:
        console.print("no trial finished")
        return
    pictures.draw(study, figure, folder / "study.png")
    words = ", ".join(f"{name} {setting:.4g}" for name, setting in found["best"]["parameters"].items())
    pruned = sum(trial["state"] == "pruned" for trial in found["trials"])
    console.print(f"best {figure} {found['best']['value']:.4f} by trial {found['best']['trial']}: {words}", highlight=False)
    console.print(f"{pruned} trials pruned; {folder / 'study.json'}, {folder / 'study.png'}", soft_wrap=True, highlight=False)


@SEARCH.command("sessions")
def search_sessions(
    data: Annotated[Path, typer.Option(help="Folder with train.txt.gz and test.txt.gz; `vitrine train sessions --help`.")],
    *,
    trials: Trials = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Of a trial, at most.")] = 4,
    newest: Annotated[int | None, typer.Option(min=20, help="Only so many newest sessions, for a quick search.")] = None,
    dim: Annotated[int, typer.Option(min=4, help="Width of the item vectors.")] = 100,
    pruner: Pruner = "median",
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = 2,
) -> None:
    """Search learning rate, dropout, negatives and batch of the session encoder by MRR@20 on the validation slice."""
    import torch

    from contracts.settings import Settings, resolve
    from training.search import spaces
    from training.search.study import Plan
    from training.sessions.data import read_sessions
    from training.sessions.encoder import EncoderRecipe

    torch.set_num_threads(threads)
    log = read_sessions(data)
    if newest is not None:
        log = spaces.newest(log, newest)
    recipe = EncoderRecipe(dim=dim, fewest=epochs, most=epochs, seed=seed)
    about = {"kind": "sessions", "data": log.name, "sessions": len(log.full), "epochs": epochs, "dim": dim, "seed": seed}
    folder = resolve(out or Settings().stack.var / "search" / f"sessions-{log.name}")
    _search(
        folder, about, Plan(trials, seed, pruner, 1), spaces.SESSION_FIGURE, lambda tick: spaces.sessions(log, recipe, tick)
    )


@SEARCH.command("finetune")
def search_finetune(
    data: Data,
    task: Annotated[str, typer.Option(help="Label, as in `vitrine finetune`.")],
    *,
    mode: Annotated[Literal["full", "lora", "frozen"], typer.Option(help="As in `vitrine finetune`.")] = "lora",
    towers: Annotated[Literal["text", "image", "both"], typer.Option(help="What the head reads.")] = "text",
    trials: Trials = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Of a trial, at most.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="A seeded sample of so many items to learn from.")] = 400,
    rare: Annotated[int, typer.Option(min=1, help="Classes with fewer items to learn from are left out.")] = 10,
    pruner: Pruner = "median",
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = 2,
) -> None:
    """Search rates, dropout, batch and rank of the fine-tuning by macro-F1 on the validation part."""
    import logging

    import torch

    from contracts.settings import Settings, resolve
    from training.finetune.data import read
    from training.finetune.recipe import Recipe
    from training.finetune.run import Bases
    from training.search import spaces
    from training.search.study import Plan

    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    settings = Settings()
    bases = Bases(settings.model.text_encoder, str(resolve(settings.model.path)))
    items = read(data, task, bases.side if towers != "text" else None, limit, rare, seed)
    recipe = Recipe(mode=mode, towers=towers, fewest=min(10, epochs), most=epochs, seed=seed)
    about = {"kind": "finetune", "task": task, "mode": mode, "towers": towers, "epochs": epochs, "seed": seed}
    about["items"] = len(items)
    folder = resolve(out or settings.stack.var / "search" / f"{task}-{towers}-{mode}")
    plan = Plan(trials, seed, pruner)
    _search(folder, about, plan, spaces.FINETUNE_FIGURE, lambda tick: spaces.tuning(items, bases, recipe, tick))

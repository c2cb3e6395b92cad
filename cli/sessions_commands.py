"""`vitrine train sessions|histories` and `vitrine evaluate sessions|histories`: next-item models of one's own log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.train_commands import TRAIN

if TYPE_CHECKING:
    from rich.console import Console

    from training.sessions.data import Dataset
    from training.sessions.encoder import EncoderRecipe
    from training.small.choice import Choice

EVALUATE = typer.Typer(help="Next-item quality of your own log, ours beside the baselines.", no_args_is_help=True)
_SESSION_K, _HISTORY_K = 20, 10
"""Cut-offs of the published figures."""

SessionData = Annotated[Path, typer.Option("--data", help="Folder with train.txt.gz and test.txt.gz.")]
HistoryData = Annotated[Path, typer.Option("--data", help="File with a user and then the user's items in each line.")]
Report = Annotated[Path, typer.Option("--json", help="File for all figures, curves and breakdowns.")]
Page = Annotated[
    Path | None, typer.Option("--html", help="File for a page with the tables and plots of it, to open in a browser.")
]
Checkpoints = Annotated[
    Path | None, typer.Option(help="Folder of checkpoints and TensorBoard curves; by default var/sessions/NAME/RECIPE.")
]
Fewest = Annotated[int | None, typer.Option(min=1, help="Epochs on a large log; more on a small one. By default 8.")]
Most = Annotated[int | None, typer.Option(min=1, help="Epochs on a small log, at most. By default 20.")]
Refit = Annotated[int | None, typer.Option(min=0, help="Epochs over all training sessions that follow. By default 3.")]
Seed = Annotated[int, typer.Option(help="Of weights, order and draws.")]
Serve = Annotated[
    str | None, typer.Option(help="Also make an artefact of this name below var/artefacts, with the blend: Triton serves it.")
]
Tenant = Annotated[str | None, typer.Option(help="Shop whose items these are (VITRINE_TENANT_ID); for --serve.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads that torch uses.")]


def register(app: typer.Typer) -> None:
    """Add `vitrine evaluate`; `vitrine train` gets its two commands when this module is imported."""
    app.add_typer(EVALUATE, name="evaluate")


def _recipe(fewest: int | None, most: int | None, refit: int | None, seed: int) -> EncoderRecipe:
    from training.sessions.encoder import EncoderRecipe

    return EncoderRecipe.chosen(fewest, most, refit, seed)


def _folder(checkpoints: Path | None, data: Dataset, recipe: EncoderRecipe) -> Path:
    from contracts.settings import Settings, resolve

    return resolve(checkpoints) if checkpoints else resolve(Settings().stack.var) / "sessions" / data.name / recipe.label


def _choice(data: Dataset, recipe: EncoderRecipe, console: Console) -> Choice:
    """The recipe for this log; on a small one augmentation is tried first."""
    from training.small.choice import fitted_to

    with console.status("looking whether augmentation helps"):
        choice = fitted_to(data, recipe)
    if choice.plain is not None and choice.augmented is not None:
        verdict = "used" if choice.augment else "not used"
        console.print(
            f"small log: steps of {choice.recipe.targets} targets; augmentation {verdict}, mean 1/rank on the validation slice "
            f"{choice.augmented:.4f} with it, {choice.plain:.4f} without",
            highlight=False,
            soft_wrap=True,
        )
    return choice


def _train(data: Dataset, recipe: EncoderRecipe, checkpoints: Path | None, k: int, threads: int) -> EncoderRecipe | None:
    """Train, together with the other processes of torchrun if there are any; the recipe, None in all but the first of them."""
    from dataclasses import asdict

    import torch
    from rich.console import Console

    from benchmarks.quality_report import bars
    from contracts.settings import Settings
    from training.distributed import joined_world
    from training.sessions.encoder_training import train_encoder
    from training.tracking.port import how_to_see, tracker_of

    torch.set_num_threads(threads)
    with joined_world("cpu") as world:
        console = Console(quiet=not world.writes)
        choice = _choice(data, recipe, console)
        folder = _folder(checkpoints, data, choice.recipe)
        tracking = Settings().tracking
        with tracker_of(tracking, folder, f"sessions {data.name}", is_told=world.writes) as tracker, bars(console) as tick:
            tracker.settings(asdict(choice.recipe))
            progress = train_encoder(data, folder, choice.recipe, k, tick, tracker=tracker, world=world, augment=choice.augment)
    for number, row in enumerate(progress.curve, start=1):
        words = ", ".join(
            f"{name} {value:.4f}" for name, value in row.items() if isinstance(value, float) and name != "seconds"
        )
        console.print(f"{row['stage']:<6} epoch {number}: {words}", highlight=False)
    console.print(f"encoder     {folder / 'final.pt'}", soft_wrap=True, highlight=False)
    if hint := how_to_see(tracking, folder):
        console.print(f"curves      {hint}", soft_wrap=True, highlight=False)
    return choice.recipe if world.writes else None


def _evaluate(
    data: Dataset, recipe: EncoderRecipe, checkpoints: Path | None, k: int, threads: int, out: tuple[Path, Path | None]
) -> None:
    import json

    import torch
    from rich.console import Console

    from benchmarks.machine import describe
    from benchmarks.quality_report import bars, table
    from training.sessions.encoder_training import train_encoder
    from training.sessions.evaluate import run
    from training.sessions.report import render

    torch.set_num_threads(threads)
    console, about = Console(), describe() | {"threads": threads}
    report, page = out
    for path in (report, page or report):
        path.parent.mkdir(parents=True, exist_ok=True)
    choice = _choice(data, recipe, console)
    folder = _folder(checkpoints, data, choice.recipe)
    with bars(console) as tick:
        train_encoder(data, folder, choice.recipe, k, tick, augment=choice.augment)
        figures = run(data, folder, choice.recipe, k, tick)
    whole = {"machine": about, **figures}
    report.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(render(whole, histories=data.mask_seen), encoding="utf-8")
    console.print(table(figures))
    console.print("written: " + " and ".join(str(path) for path in (report, page) if path is not None), soft_wrap=True)


def _serve(data: Dataset, recipe: EncoderRecipe, checkpoints: Path | None, name: str, tenant: str | None) -> None:
    """The artefact of a finished training."""
    from rich.console import Console

    from benchmarks.quality_report import bars
    from contracts.settings import Settings, resolve
    from training.sessions.serving import serve

    console, settings = Console(), Settings()
    out = resolve(settings.stack.var) / "artefacts" / name
    with bars(console) as tick:
        serve(data, _folder(checkpoints, data, recipe), recipe, tenant or settings.tenant_id, out, tick)
    console.print(f"artefact    {out}; serve it with VITRINE_MODEL__PATH={out}", soft_wrap=True, highlight=False)


@TRAIN.command("sessions")
def train_sessions(  # noqa: PLR0917 - one parameter an option
    data: SessionData,
    checkpoints: Checkpoints = None,
    fewest: Fewest = None,
    most: Most = None,
    refit: Refit = None,
    seed: Seed = 0,
    threads: Threads = 2,
    serve: Serve = None,
    tenant: Tenant = None,
) -> None:
    """Train the session encoder on a folder of click sessions; the test part is not trained on.

    The folder holds train.txt.gz, one session a line, item numbers separated by spaces, sessions in the order of time:

        12 7 7 430

    and test.txt.gz, one query a line: the item that came next, a tab, the clicks before it:

        430<TAB>12 7 7

    The last tenth of the training sessions stops the training early; then the encoder learns from that tenth too. A small log
    (below 10,000 targets) is trained in smaller steps, and on cropped, masked and reordered sessions too if short trials show
    on that tenth that they help. The same command goes on where a kill ended it. `vitrine evaluate sessions` with the same
    options measures what was trained; the curves go to TensorBoard, or to MLflow by VITRINE_TRACKING__BACKEND=mlflow.
    --serve makes of it what Triton serves, blend and neighbours included, where an item's id is its number in the files;
    docs/models.md tells what of it is served.

    On several processes, with the same figures but for rounding and dropout:

        torchrun --nproc-per-node 2 -m cli train sessions --data DIR --threads 1
    """
    from training.sessions.data import read_sessions

    log = read_sessions(data)
    trained = _train(log, _recipe(fewest, most, refit, seed), checkpoints, _SESSION_K, threads)
    if serve is not None and trained is not None:
        _serve(log, trained, checkpoints, serve, tenant)


@TRAIN.command("histories")
def train_histories(  # noqa: PLR0917 - one parameter an option
    data: HistoryData,
    checkpoints: Checkpoints = None,
    fewest: Fewest = None,
    most: Most = None,
    refit: Refit = None,
    seed: Seed = 0,
    threads: Threads = 2,
) -> None:
    """Train the session encoder on a file of user histories, leave-one-out.

    One user a line (perhaps .gz): the user's number, then item numbers in the order of time:

        1 17 4 2032 88

    The last item is the test and the one before it stops the training early; neither is trained on. The same command goes on
    where a kill ended it.
    """
    from training.sessions.data import read_histories

    _train(read_histories(data), _recipe(fewest, most, refit, seed), checkpoints, _HISTORY_K, threads)


@EVALUATE.command("sessions")
def evaluate_sessions(  # noqa: PLR0917 - one parameter an option
    data: SessionData,
    out: Report,
    page: Page = None,
    checkpoints: Checkpoints = None,
    fewest: Fewest = None,
    most: Most = None,
    refit: Refit = None,
    seed: Seed = 0,
    threads: Threads = 2,
) -> None:
    """Train what is not trained yet, then rank the test part once: encoder, blend and baselines by Recall, MRR, NDCG at 20.

    Layout of the folder: see `vitrine train sessions --help`. All items are ranked, clicked ones too; ties take the middle
    rank; a target that training never saw counts as a miss. The blend learns on the last tenth of the training sessions, and
    nothing is chosen by the test part. The file tells figures of every model, the learning curve, the blend's figures by
    length of the prefix, by clicks of the target and by where the target stood in the prefix, minutes, seed and commit. --html
    writes the same as a page with plots.
    """
    from training.sessions.data import read_sessions

    _evaluate(read_sessions(data), _recipe(fewest, most, refit, seed), checkpoints, _SESSION_K, threads, (out, page))


@EVALUATE.command("histories")
def evaluate_histories(  # noqa: PLR0917 - one parameter an option
    data: HistoryData,
    out: Report,
    page: Page = None,
    checkpoints: Checkpoints = None,
    fewest: Fewest = None,
    most: Most = None,
    refit: Refit = None,
    seed: Seed = 0,
    threads: Threads = 2,
) -> None:
    """Train what is not trained yet, then rank each user's last item once: figures at 10, items already seen masked.

    Layout of the file: see `vitrine train histories --help`. What the figures and the file are: `vitrine evaluate sessions
    --help`.
    """
    from training.sessions.data import read_histories

    _evaluate(read_histories(data), _recipe(fewest, most, refit, seed), checkpoints, _HISTORY_K, threads, (out, page))

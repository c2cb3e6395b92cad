"""`vitrine train follow`: a model that goes on learning from the event log."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.train_commands import TRAIN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.progress import Progress as Bars

    from contracts.settings import Settings
    from fusion.artefact import Artefact
    from training.continual.following import Follower, Progress
    from training.continual.learner import ContinualRecipe, Update


def register(_: typer.Typer) -> None:
    """`vitrine train` gets its command when this module is imported."""


@TRAIN.command("follow")
def follow(  # noqa: PLR0917 - one parameter an option
    data: Annotated[
        Path | None, typer.Option(help="Clicks from a file instead of Kafka: SessionId, ItemId, Time, or events (.jsonl).")
    ] = None,
    artefact: Annotated[Path | None, typer.Option(help="The model that learns on; by default the served one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of versions and memory; by default var/continual/NAME.")] = None,
    every: Annotated[int, typer.Option(min=2, help="Finished sessions after which it learns.")] = 500,
    hours: Annotated[float, typer.Option(min=0.01, help="Or hours of event time, if 50 sessions have come.")] = 12.0,
    first: Annotated[int, typer.Option(min=10, help="Sessions that fill the memory before any is taught.")] = 1000,
    replay: Annotated[float, typer.Option(min=0, help="Old sessions taught beside each new one.")] = 3.0,
    tenant: Annotated[str | None, typer.Option(help="Shop whose clicks count (VITRINE_TENANT_ID).")] = None,
    once: Annotated[bool, typer.Option(help="End where the topic ends now; a file ends by itself.")] = False,
    publish: Annotated[
        bool, typer.Option(help="Also export each version into Triton's repository, for `vitrine models shadow` and `flip`.")
    ] = False,
) -> None:
    """Follow the event log, learn on a schedule, and publish what is better.

    Reads shop.events.v1 with the consumer group vitrine-learner-SHOP, or a file. A visitor's clicks become a session after 30
    minutes of rest, in event time. After --every sessions a copy of the model learns from them and from old ones, and is
    judged: on an old slice that is never taught, where it may lose 1 % against the first model, and on the newest sessions,
    where it must not lose. Only then it is written to OUT/<version>/, a folder as `vitrine train` writes it.

        vitrine train clicks --sessions january.tsv.gz --name shop
        vitrine train follow --data february.tsv.gz --artefact var/artefacts/shop

    A model with texts or pictures keeps its item vectors (from shop.item_embeddings.v1) and teaches its session encoder; a
    model of clicks alone teaches both, and takes in new items. A version is not served by being written: --publish puts it
    beside the serving one, `vitrine models flip` serves it; docs/continual.md tells more. The same command goes on after a
    kill, with what was published and remembered.
    """
    import torch
    from rich.console import Console

    from contracts.settings import Settings, resolve
    from fusion import artefact as artefacts
    from training.continual.clicks import FileLog, KafkaLog
    from training.continual.learner import ContinualRecipe

    torch.set_num_threads(1)
    settings, console = Settings(), Console()
    shop = tenant or settings.tenant_id
    base = artefacts.load(resolve(artefact or settings.model.path))
    folder = resolve(out) if out else resolve(settings.stack.var) / "continual" / base.name
    recipe = ContinualRecipe(sessions=every, hours=hours, replay=replay)
    follower = _follower(base, folder, recipe, first, settings if data is None else None, shop)
    source = nullcontext(FileLog(data, shop)) if data else KafkaLog(settings.kafka, shop, follow=not once)
    with source as log, _bars(console) as bars:
        task = bars.add_task("following", total=None, words="")

        def tell(progress: Progress, update: Update | None) -> None:
            words = f"{progress.clicks:,} clicks, {progress.sessions:,} sessions, {progress.published} published"
            bars.update(task, words=words)
            if update is not None:
                _say(console, update)

        follower.follow(log, tell, (lambda version: _export(version, settings, console)) if publish else _written)
    done = follower.progress
    console.print(
        f"{done.clicks:,} clicks, {done.sessions:,} sessions, {done.updates} updates, {done.published} published: {folder}",
        soft_wrap=True,
        highlight=False,
    )


def _written(_: Path) -> None:
    """A version that is only written."""


def _export(version: Path, settings: Settings, console: Console) -> None:
    from contracts.releases import releases_folder
    from triton_models import registry

    number = registry.publish(version, releases_folder(settings))
    console.print(f"published as version {number}: vitrine models shadow {number}", highlight=False)


def _follower(
    base: Artefact, folder: Path, recipe: ContinualRecipe, first: int, settings: Settings | None, tenant: str
) -> Follower:
    from fusion import artefact as artefacts
    from training.continual.following import Follower
    from training.continual.growth import ItemRows
    from training.continual.learner import Learner
    from training.continual.memory import Memory, load
    from training.continual.publishing import begin, has_content, newest
    from training.continual.reservoir import Reservoir
    from training.sessions.data import pad

    version = newest(folder)
    serving = artefacts.load(folder / str(version)) if version is not None else base
    memory = load(folder, tenant, 50_000) or Memory(ItemRows(tenant), [], Reservoir(50_000))
    vectors = None
    if has_content(serving):
        vectors = _live_vectors(settings, tenant)
    model, encoder = begin(serving, memory.rows, vectors)
    old = memory.old_queries if memory.old else pad([], [])
    learner = Learner(
        model,
        encoder,
        recipe,
        memory.rows,
        old,
        memory.reservoir,
        freeze_items=has_content(serving),
    )
    return Follower(learner, memory, serving, folder, first)


def _live_vectors(settings: Settings | None, tenant: str) -> dict[int, NDArray[np.float32]]:
    from contracts.errors import ConfigurationError

    if settings is None:
        message = (
            "--data: this artefact's item vectors come from texts and pictures, which only the running shop has: leave it out"
        )
        raise ConfigurationError(message)
    from training.continual.live_items import live_vectors

    return live_vectors(settings.kafka, tenant)


def _bars(console: Console) -> Bars:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
    )


def _say(console: Console, update: Update) -> None:
    verdict = "published" if update.published else "not published"
    console.print(
        f"update {update.number}: {update.sessions} sessions, {update.items:,} items, drift PSI {update.drift.psi:.2f}, "
        f"{verdict}: {update.why} ({update.seconds:.1f} s)",
        soft_wrap=True,
        highlight=False,
    )

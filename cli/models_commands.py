"""`vitrine models`: publish a version, try it in the shadow, make it live, take it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contracts.routes import Endpoint
    from stack.flip import Operator, ShadowFigures

MODELS = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="""Versions of the model that ranks pages: a new one runs beside the old one until you end that.

The way of a version: publish (files with hashes), shadow (it starts, answers the requests that the workers recorded, and
then a copy of some live ones, reaching nobody), flip (it answers visitors), retire (the old one ends). rollback, any time
before retire, makes the old one live again. docs/rollout.md tells the whole.""",
)

Version = Annotated[int, typer.Argument(min=1, help="Number that `vitrine models list` shows.")]


def register(app: typer.Typer) -> None:
    """Add `vitrine models`."""
    app.add_typer(MODELS)


def _operator() -> Operator:
    from contracts.settings import Settings
    from stack.flip import Operator

    return Operator(Settings())


@MODELS.command("list")
def list_versions() -> None:
    """List every version: when it was published, whether it fits beside the live one, and what it does now."""
    from rich.console import Console
    from rich.table import Table

    from contracts.releases import list_releases

    operator = _operator()
    rollout = operator.rollout()
    table = Table("version", "published", "items", "now", box=None, pad_edge=False)
    roles = dict.fromkeys(rollout.slots.values(), "runs, asked by nobody")
    if rollout.before is not None:
        roles[rollout.slots[rollout.before]] = "runs, ready for rollback"
    if rollout.shadow is not None:
        roles[rollout.slots[rollout.shadow]] = f"shadow, {rollout.share:.0%} of the requests"
    roles[rollout.live_version] = "[green]live[/]"
    table.add_row(str(operator.configured), "configured", "same", roles.get(operator.configured, "-"))
    for release in list_releases(operator.releases):
        items = "same" if release.items_version == operator.items else "[yellow]other[/]"
        table.add_row(str(release.version), _time(release.published_time), items, roles.get(release.version, "-"))
    Console().print(table)


def _time(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


@MODELS.command("publish")
def publish_version(
    artefact: Annotated[Path, typer.Argument(help="Folder with manifest.json and *.safetensors, as `vitrine train` writes.")],
) -> None:
    """Copy and export a trained artefact as a new version, every file pinned by its SHA-256; nothing is served by that."""
    from rich.console import Console

    from triton_models.registry import publish

    operator, console = _operator(), Console()
    with console.status("publishing") as spinner:
        version = publish(artefact, operator.releases, based_on=operator.exported, tick=spinner.update)
    console.print(f"published version {version} in {operator.releases / str(version)}", soft_wrap=True)
    console.print(f"next: vitrine models shadow {version}")


@MODELS.command("shadow")
def shadow_version(
    version: Version,
    *,
    share: Annotated[float, typer.Option(min=0, max=1, help="Part of the live requests that is copied to it.")] = 0.05,
    seconds: Annotated[float, typer.Option(min=0, help="How long to watch before the figures are printed.")] = 60.0,
    stop: Annotated[bool, typer.Option("--stop", help="Copy nothing any more; the version goes on running.")] = False,
    without_recording: Annotated[
        bool, typer.Option("--without-recording", help="Call it eligible although no requests were recorded yet.")
    ] = False,
) -> None:
    """Start a version beside the live one, warm it up, and compare its answers with the live ones.

    The warm-up sends it the requests that the workers recorded. Then it gets a copy of some live requests, off the way of
    the page: the overlap of the best 20 items, the rank correlation, and the drift of the scores are printed and stay in
    Prometheus (vitrine_shadow_…). After that it is eligible: `vitrine models flip VERSION`.
    """
    from rich.console import Console

    operator, console = _operator(), Console()
    if stop:
        operator.shadow(version, 0.0)
        console.print(f"version {version} gets no copies any more")
        return
    with console.status(f"starting version {version}"):
        operator.start(version)
    _warm(operator, version, must_be_recorded=not without_recording)
    took = operator.shadow(version, share)
    console.print(f"version {version} gets {share:.0%} of the requests ({took:.1f} s until every worker copies)")
    if seconds and share:
        _show(_watched(operator, seconds))
    console.print(f"next: vitrine models flip {version}, or vitrine models retire {version}")


def _warm(operator: Operator, version: int, *, must_be_recorded: bool) -> None:
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from contracts.settings import Settings, resolve
    from stack.warmup import BATCHES, recorded, require_enough, warm_up

    recordings = recorded(resolve(Settings().stack.var))
    if must_be_recorded:
        require_enough(recordings)
    rows = sum(map(len, recordings)) * len(BATCHES)
    with Progress(transient=True) as progress:
        task = progress.add_task("warm-up", total=rows)
        done = asyncio.run(
            warm_up(operator.address_of(version), version, recordings, lambda count: progress.advance(task, count))
        )
    operator.is_warm(version)
    empty = f", {done.empty} of them without an item" if done.empty else ""
    Console().print(f"warm-up: {done.requests} recorded requests{empty}; p50 {done.p50_ms} ms, p99 {done.p99_ms} ms")


def _watched(operator: Operator, seconds: float) -> ShadowFigures:
    import time

    from rich.progress import track

    before = operator.counted()
    for _ in track(range(max(1, round(seconds))), description="comparing", transient=True):
        time.sleep(1.0)
    return operator.figures(before)


def _show(figures: ShadowFigures) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", box=None, pad_edge=False)
    for outcome, count in figures.rows.items():
        table.add_row(f"requests {outcome.replace('_', ' ')}", str(count))
    for name, value in (("overlap@20", figures.overlap), ("rank correlation", figures.correlation)):
        table.add_row(name, "-" if value is None else f"{value:.3f}")
    table.add_row("mean score, live", f"{figures.live_score:.4f}")
    table.add_row("mean score, shadow", f"{figures.shadow_score:.4f}")
    table.add_row("score stability index (PSI)", f"{figures.stability:.3f}")
    console = Console()
    console.print(table)
    if figures.overlap is None:
        console.print("[yellow]nothing was compared: are there visitors?[/]")


@MODELS.command("flip")
def flip_version(
    version: Version,
    watch: Annotated[float, typer.Option(min=0, help="Seconds to watch the pages afterwards; 0 does not.")] = 10.0,
) -> None:
    """Make a version live that was tried in the shadow; the one before keeps running for a rollback.

    Then the pages are watched: if more than one in a hundred is a fallback, or the server is not well, the version before is
    made live again by itself and the command ends with 1.
    """
    operator = _operator()
    took = operator.flip(version)
    typer.echo(f"version {version} is live: every worker asks it after {took:.1f} s")
    reason = operator.watch(watch) if watch else None
    if reason is not None:
        took = operator.roll_back()
        typer.echo(f"rolled back after {took:.1f} s: {reason}; version {operator.rollout().live_version} is live", err=True)
        raise typer.Exit(1)
    typer.echo("vitrine models rollback takes it back; vitrine models retire ends the version before")


@MODELS.command("rollback")
def roll_back() -> None:
    """Make the version live again that was before the last flip; the other one keeps running."""
    operator = _operator()
    took = operator.roll_back()
    typer.echo(f"version {operator.rollout().live_version} is live again: every worker asks it after {took:.1f} s")


@MODELS.command("retire")
def retire_version(version: Version) -> None:
    """End a running version that is not live; its files stay."""
    took = _operator().retire(version)
    typer.echo(f"version {version} ended after {took:.1f} s; its files stay")


@MODELS.command("announce")
def announce_servers(
    live: Annotated[str, typer.Option(metavar="VERSION=HOST:PORT", help="Who answers visitors.")],
    *,
    shadow: Annotated[str | None, typer.Option(metavar="VERSION=HOST:PORT", help="Who is asked on the side.")] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Part of the live requests that is copied.")] = 0.05,
) -> None:
    """Tell the workers which servers to ask, where `vitrine up` does not run them: containers, Kubernetes.

    Start the second server first, with VITRINE_MODEL_DIR naming its exported version. A worker changes only when the server
    answers with the version named here; until then it goes on with the one before.
    """
    import asyncio
    import time

    from contracts.errors import ConfigurationError
    from contracts.routes import Routes, decode_routes, encode_routes
    from contracts.settings import Settings
    from stack import control
    from stack.rankers import announce

    settings = Settings()
    if settings.stack.triton and control.status(settings).up:
        message = "the servers of this stack are its supervisor's: use `vitrine models shadow`, `flip`, `rollback`"
        raise ConfigurationError(message)
    beside = _endpoint("--shadow", shadow) if shadow else None
    routes = Routes(time.time_ns() // 1_000_000, _endpoint("--live", live), beside, share if beside else 0.0)
    asyncio.run(announce(settings.kafka, decode_routes(encode_routes(routes))))
    typer.echo(f"told the workers: {live} is live; vitrine_route_serial becomes {routes.serial} in each that has changed")


def _endpoint(option: str, text: str) -> Endpoint:
    from contracts.errors import ConfigurationError
    from contracts.routes import Endpoint

    version, _, address = text.partition("=")
    if not version.isdecimal() or not address.rpartition(":")[2].isdecimal():
        message = f"{option} is {text!r}, expected VERSION=HOST:PORT, such as 2=triton-green:8001"
        raise ConfigurationError(message)
    return Endpoint(int(version), address)

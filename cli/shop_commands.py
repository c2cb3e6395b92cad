"""`vitrine shop`: simulated shoppers in a running stack."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(shop)


def shop(
    rate: Annotated[float, typer.Option(min=0.1, help="Events per second of all shoppers together.")] = 20.0,
    count: Annotated[int, typer.Option(min=1, help="How many shoppers.")] = 40,
    seed: Annotated[int, typer.Option(help="Same seed, same tastes.")] = 7,
    events: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after this time.")] = None,
    catalog: Annotated[bool, typer.Option(help="First publish what is missing of the demo shop's products.")] = True,
) -> None:
    """Let simulated shoppers into the demo shop: they look, click, buy, and react to the pages that they get.

    Needs a running stack (`vitrine up`). Watch what happens with `vitrine watch`, or take `vitrine run` for all in one.
    """
    import time

    from rich.console import Console

    from cli.crowd import Crowd
    from contracts.settings import Settings

    settings = Settings()
    console = Console()
    if catalog:
        from cli.demo_shop import ensure_demo_shop

        console.print(f"{ensure_demo_shop(settings, console)} products are recommendable")
    crowd = Crowd(settings.kafka, rate=rate, count=count, seed=seed)
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    begun = time.monotonic()
    try:
        crowd.run(lambda: time.monotonic() > end or (events is not None and crowd.events >= events))
    except KeyboardInterrupt:
        console.print("the shoppers go home")
    console.print(f"{crowd.events} events in {time.monotonic() - begun:.1f} s")

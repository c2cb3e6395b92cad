"""`vitrine label-next` and `vitrine pseudo-label`: attributes of a catalogue from few labels."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.finetune_commands import Data

if TYPE_CHECKING:
    from training.finetune.data import Items
    from training.finetune.labels import Floats

Labels = Annotated[Path, typer.Option(help="CSV file with the columns id,label; only some items need to be in it.")]
ReadBy = Annotated[Literal["text", "image", "both"], typer.Option(help="What an item is judged by.")]
Limit = Annotated[int | None, typer.Option(min=2, help="Look at so many items of the catalogue only, drawn by seed.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("label-next")(label_next)
    app.command("pseudo-label")(pseudo_label)


def _seen(
    data: Path, labels: dict[str, str], towers: Literal["text", "image", "both"], limit: int | None
) -> tuple[Items, Floats]:
    import logging

    from rich.console import Console

    from contracts.settings import Settings, resolve
    from training.finetune.data import unlabelled
    from training.finetune.labels import features_of
    from training.finetune.run import SIDE, Bases

    logging.getLogger("transformers").setLevel(logging.ERROR)
    settings = Settings()
    bases = Bases(settings.model.text_encoder, str(resolve(settings.model.path)))
    items = unlabelled(data, SIDE if towers != "text" else None, limit, frozenset(labels))
    with Console(stderr=True).status(f"encoding {len(items):,} items (kept for the next time)"):
        return items, features_of(items, towers, bases, resolve(settings.stack.var) / "finetune" / "features")


def label_next(
    *,
    data: Data,
    labels: Labels,
    count: Annotated[int, typer.Option(min=1, help="Items wanted.")] = 20,
    towers: ReadBy = "text",
    out: Annotated[Path | None, typer.Option(help="Also write them as CSV, with an empty label to fill in.")] = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(help="Of the spread.")] = 0,
) -> None:
    """List the items of a catalogue whose label would teach the most: those in doubt, and unlike one another.

    LABELS holds what is labelled so far, perhaps only the line `id,label`: then the list is simply spread over the catalogue.
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from training.finetune.acquisition import choose
    from training.finetune.labels import classifier, read_labels, relabelled

    known = read_labels(labels)
    items, features = _seen(data, known, towers, limit)
    open_rows = np.array([row for row, number in enumerate(items.ids) if number not in known], dtype=np.int64)
    judge, classes, chances = None, np.array([""]), None
    if len(set(known.values())) > 1:
        items = relabelled(items, known)
        given = np.flatnonzero(items.labels >= 0)
        judge = classifier().fit(features[given], items.labels[given])
        chances, classes = judge.predict_proba(features[open_rows]), np.array(items.classes)
    rows = choose(features, chances, open_rows, count, "margin, diverse", np.random.default_rng(seed))
    table = Table("id", "title", "likeliest", "or", box=None)
    for row in rows:
        best: list[str] = ["", ""]
        if judge is not None:
            chance = judge.predict_proba(features[row : row + 1])[0]
            best = [f"{classes[place]} {chance[place]:.0%}" for place in np.argsort(-chance)[:2]]
        table.add_row(items.ids[row], items.titles[row], *best)
    Console().print(table)
    if out is not None:
        with out.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("id", "label", "title"), *((items.ids[row], "", items.titles[row]) for row in rows)])
        typer.echo(f"written: {out}; fill in the labels and add its lines to {labels}")


def pseudo_label(
    *,
    data: Data,
    labels: Labels,
    out: Annotated[Path, typer.Option(help="CSV file id,label,source,chance to write.")],
    threshold: Annotated[float, typer.Option(min=0.0, max=0.9999, help="Least probability of a label that is believed.")] = 0.8,
    towers: ReadBy = "text",
    limit: Limit = None,
) -> None:
    """Give items of a catalogue the labels that a few labelled ones make likely (self-training over frozen towers).

    What stays below the threshold gets no label. OUT tells which labels were given and which were inferred, and how sure.
    """
    from training.finetune.labels import read_labels, relabelled, self_trained

    known = read_labels(labels)
    items, features = _seen(data, known, towers, limit)
    items = relabelled(items, known)
    judge, found = self_trained(features, items.labels, threshold)
    chances = judge.predict_proba(features).max(axis=1)
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "label", "source", "chance"))
        for number, given, label, chance in zip(items.ids, items.labels, found, chances, strict=True):
            if label >= 0:
                writer.writerow(
                    (number, items.classes[label], *(("given", "") if given >= 0 else ("inferred", f"{chance:.3f}")))
                )
    inferred = int(((found >= 0) & (items.labels < 0)).sum())
    typer.echo(f"{inferred:,} labels inferred from {len(known):,}, {int((found < 0).sum()):,} items left open: {out}")

"""`python -m benchmarks.quality`: recommendation quality beside baselines and published figures; JSON and a picture.

Each set is trained with one recipe, from its own training part only, and its test part is ranked once over all items. Small
sets are trained with several seeds; their figures are means with a spread. A set's figures replace its older ones in the
result file; the other sets stay. Trainings go on where a kill ended them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks import machine, quality_picture, quality_report
from contracts.errors import VitrineError
from contracts.settings import ROOT, resolve
from training.sessions.baselines import baselines
from training.sessions.data import Dataset, read_histories, read_sessions
from training.sessions.encoder import EncoderRecipe
from training.sessions.encoder_training import Tick
from training.sessions.evaluate import run
from training.sessions.peers.run import peers
from training.sessions.peers.sasrec import SasrecRecipe
from training.sessions.seeds import of_seeds

RESULTS = Path(__file__).parent / "results"
OURS = "blend"


@dataclass(frozen=True)
class Wanted:
    """A set with the best published figures, which ours must exceed.

    Attributes:
        path: below the data folder.
        read: reader of its layout.
        k: cut-off.
        goals: least value by metric.
        source: whose figures the goals are.
        seeds: of the runs whose mean counts.
    """

    path: str
    read: Callable[[Path], Dataset]
    k: int
    goals: dict[str, float]
    source: str
    seeds: tuple[int, ...] = (0,)


_ABOVE_SGNN = "above SGNN-HN (Pan et al., 2020)"
SETS = {
    "diginetica": Wanted("sessions/diginetica", read_sessions, 20, {"recall@20": 0.568, "mrr@20": 0.204}, _ABOVE_SGNN),
    "yoochoose1_64": Wanted("sessions/yoochoose1_64", read_sessions, 20, {"recall@20": 0.725, "mrr@20": 0.327}, _ABOVE_SGNN),
    "beauty": Wanted(
        "amazon_beauty/Beauty.txt.gz",
        read_histories,
        10,
        {"recall@10": 0.1008, "ndcg@10": 0.0611},
        "BSARec (Shin et al., 2024)",
        (0, 1, 2),
    ),
}


def data_folder() -> Path:
    """Where the data sets are: SHARED_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))


def compared(figures: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Figures of a run with each goal beside what was reached."""
    reached = figures["models"][OURS]
    goals = {
        metric: {"goal": goal, "reached": reached[metric], "met": bool(reached[metric] > goal)}
        for metric, goal in wanted.goals.items()
    }
    return {**figures, "goals": goals, "goals_from": wanted.source}


def merged(target: Path, name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """The result file with one set's figures replaced; sets in the order of `SETS`."""
    sets = json.loads(target.read_text())["sets"] if target.exists() else {}
    sets[name] = figures
    return {"sets": {known: sets[known] for known in SETS if known in sets}}


def measured(
    wanted: Wanted, recipes: list[EncoderRecipe], checkpoints: Path, epochs: int, minutes: float, tick: Tick
) -> dict[str, Any]:
    """Figures of all models on a set: each baseline and peer once, ours once a seed.

    Args:
        wanted: the set.
        recipes: one a seed.
        checkpoints: folder of all trainings.
        epochs: of SASRec; 0 leaves the peers out.
        minutes: of processor time after which SASRec begins no further epoch.
        tick: told how far each stage is.
    """
    data = wanted.read(data_folder() / wanted.path)
    home = resolve(checkpoints) / data.name
    others, about = baselines(data, tick), {}
    if epochs:
        found = peers(data, home / "peers", SasrecRecipe(epochs=epochs), minutes, tick)
        others |= {name: peer.ranks for name, peer in found.items()}
        about = {name: {"processor_minutes": round(peer.minutes, 2), "epochs": peer.epochs} for name, peer in found.items()}
    runs = []
    for recipe in recipes:
        figures = run(data, home / recipe.label, recipe, wanted.k, tick, others)
        runs.append(figures)
    return {**of_seeds(runs), "peers": about}


def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SETS)}; may be repeated. All by default.")] = None,
    fewest: Annotated[int | None, typer.Option(min=1, help="Epochs of the encoder on a large log.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Epochs of the encoder on a small log, at most.")] = None,
    refit: Annotated[int | None, typer.Option(min=0, help="Epochs over all training sessions that follow.")] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Of weights, order and draws; may be repeated. By default 0, and for beauty 0, 1, 2."),
    ] = None,
    peer_epochs: Annotated[int, typer.Option(min=0, help="Epochs of SASRec; 0 leaves SASRec and implicit out.")] = 8,
    peer_minutes: Annotated[
        float, typer.Option(min=0, help="Processor minutes after which SASRec begins no further epoch.")
    ] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Threads that torch uses.")] = 1,
    checkpoints: Annotated[Path, typer.Option(help="Folder of checkpoints and TensorBoard curves.")] = Path("var/sessions"),
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "quality.json",
) -> None:
    """Train and measure each set that is there, some ten minutes a set; a missing set is skipped with a sentence."""
    console = Console()
    unknown = set(only or ()) - SETS.keys()
    if unknown:
        message = f"{', '.join(sorted(unknown))}, expected some of {', '.join(SETS)}"
        raise typer.BadParameter(message, param_hint="--only")
    torch.set_num_threads(threads)
    for name in only or SETS:
        wanted = SETS[name]
        path = data_folder() / wanted.path
        if not path.exists():
            console.print(
                f"{name} skipped: {path} is not there (SHARED_DATA names the folder of the data sets)", soft_wrap=True
            )
            continue
        about = machine.describe() | {"threads": threads}
        recipes = [EncoderRecipe.chosen(fewest, most, refit, number) for number in seed or wanted.seeds]
        with quality_report.bars(console) as tick:
            figures = measured(wanted, recipes, checkpoints, peer_epochs, peer_minutes, tick)
        result = merged(out, name, {"machine": about, **compared(figures, wanted)})
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        quality_picture.draw(result, out.with_suffix(".png"))
        console.print(quality_report.table(result["sets"][name]))
        console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.quality: {error}", err=True)
        sys.exit(2)

"""`python -m benchmarks.continual`: test, then train, over four days of real clicks; JSON and a picture.

The first three days teach the first models. Then every click is ranked before anything learns from it: by the frozen models,
and by those that go on: an encoder that learns on a schedule, neighbours and counters that learn from each click or session.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import continual_picture, machine
from benchmarks.continual_run import Replay, first_models
from benchmarks.quality import data_folder
from benchmarks.quality_report import bars
from contracts.errors import ConfigurationError, VitrineError
from training.clicks import read_table
from training.continual.clicks import Click
from training.continual.learner import ContinualRecipe

RESULTS = Path(__file__).parent / "results"
DAY_MS = 86_400_000
FILES = ("train_full.tsv.gz", "test.tsv.gz")


def read_clicks(folder: Path) -> list[Click]:
    """All clicks of the folder in the order of time; sessions are those of the files."""
    rows = [row for name in FILES if (folder / name).exists() for row in read_table(folder / name, "--data")]
    if not rows:
        message = f"--data: {folder} holds none of {', '.join(FILES)}"
        raise ConfigurationError(message)
    return sorted(Click(int(seconds * 1000), session, item) for session, seconds, item in rows)


def by_time(ranks: dict[str, list[float]], times: list[int], width_ms: int, k: int) -> list[dict[str, Any]]:
    """Recall and MRR of every system by span of time."""
    table = {name: np.array(found) for name, found in ranks.items()}
    rows = []
    for span, group in groupby(range(len(times)), key=lambda at: times[at] // width_ms):
        at = np.fromiter(group, dtype=np.int64)
        row: dict[str, Any] = {
            "from": datetime.fromtimestamp(span * width_ms / 1000, UTC).isoformat(timespec="minutes"),
            "clicks": len(at),
        }
        for name, found in table.items():
            hit = found[at] <= k
            row[name] = [float(hit.mean()), float(np.where(hit, 1.0 / found[at], 0.0).mean())]
        rows.append(row)
    return rows


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder with SessionId, ItemId, Time tables; by default the public one.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Days that teach the first models.")] = 3,
    every: Annotated[int, typer.Option(min=20, help="Sessions after which the encoder learns.")] = 500,
    limit: Annotated[int | None, typer.Option(help="Clicks to replay, for a look; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and draws.")] = 0,
    out: Annotated[Path, typer.Option(help="Result file; the picture lies beside it.")] = RESULTS / "continual.json",
) -> None:
    """Train, replay, measure; about six minutes on one core."""
    torch.set_num_threads(1)
    console, about = Console(), machine.describe() | {"threads": 1}
    clicks = read_clicks(data or data_folder() / "sessions" / "yoochoose_100k_timestamped")
    border = clicks[0].time // DAY_MS * DAY_MS + days * DAY_MS
    began, clock = time.process_time(), time.perf_counter()
    with bars(console) as tick:
        first = first_models([click for click in clicks if click.time < border], clicks, seed, tick)
        replay = Replay(first, ContinualRecipe(sessions=every, seed=seed))
        later = [click for click in clicks if click.time >= border][:limit]
        for number, click in enumerate(later, start=1):
            replay.click(click)
            if number % 500 == 0 or number == len(later):
                tick("test, then train", number / len(later), replay.words())
    k = 20
    result = {
        "machine": about,
        "data": "yoochoose_100k_timestamped" if data is None else data.name,
        "seed": seed,
        "first": first.about,
        "replayed_clicks": len(later),
        "ranked_clicks": len(replay.times),
        "days": by_time(replay.ranks, replay.times, DAY_MS, k),
        "hours": by_time(replay.ranks, replay.times, 3_600_000, k),
        "old_slice": replay.old_slice(),
        "updates": [update.as_json() for update in replay.learner.updates],
        "microseconds": replay.microseconds(),
        "minutes": {
            "processor": round((time.process_time() - began) / 60, 2),
            "wall": round((time.perf_counter() - clock) / 60, 2),
            "updates": round(sum(update.seconds for update in replay.learner.updates) / 60, 2),
        },
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    continual_picture.draw(result, out.with_suffix(".png"))
    console.print(_table(by_time(replay.ranks, replay.times, DAY_MS, k)))
    console.print(f"written: {out} and {out.with_suffix('.png')}", soft_wrap=True)


def _table(days: list[dict[str, Any]]) -> Table:
    """Recall@20 of every system by day."""
    table = Table("Recall@20", *(str(day["from"])[:10] for day in days), box=None)
    for name in [name for name, value in days[0].items() if isinstance(value, list)]:
        table.add_row(name, *(f"{day[name][0]:.4f}" for day in days))
    return table


if __name__ == "__main__":
    try:
        typer.run(main)
    except VitrineError as error:
        typer.echo(f"benchmarks.continual: {error}", err=True)
        sys.exit(2)

"""Several runs with seeds that follow one another, kept in a file, so that a series goes on where it was interrupted."""

from __future__ import annotations

import json
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError
from nemesis.faults import Fault
from nemesis.kinds import FAULTS_OF_ONE, FAULTS_OF_THREE
from nemesis.picture import draw
from nemesis.run import Plan, run
from nemesis.table import as_markdown

_COUNTS = ("events", "processed_visible", "duplicates", "dead_letters", "pages", "repeated_pages", "repeated_identical",
           "degraded_pages")  # fmt: skip


@dataclass(frozen=True)
class Series:
    """A series of runs.

    Attributes:
        seconds: of faults in each run.
        seed: of the first run; the next has the next.
        runs: how many.
        nodes: brokers, 1 or 3.
        rate: events a second.
        only: parts of names; empty for all faults.
        file: where the summary is kept after every run; None keeps none.
    """

    seconds: float
    seed: int
    runs: int
    nodes: int = 1
    rate: float = 60.0
    only: tuple[str, ...] = ()
    file: Path | None = None

    def faults(self) -> tuple[Fault, ...]:
        """The kinds to draw from.

        Raises:
            ConfigurationError: neither 1 nor 3 nodes, or no fault of these names.
        """
        if self.nodes not in (1, 3):
            message = f"--nodes: got {self.nodes}, expected 1 or 3"
            raise ConfigurationError(message)
        every = FAULTS_OF_ONE if self.nodes == 1 else FAULTS_OF_THREE
        chosen = tuple(fault for fault in every if not self.only or any(part in fault.name for part in self.only))
        if not chosen:
            message = f"--only: no fault is called {self.only}, expected parts of: {', '.join(f.name for f in every)}"
            raise ConfigurationError(message)
        return chosen

    def run(self, tell: Callable[[str], object]) -> dict[str, Any]:
        """All runs that the file does not hold yet; the summary of all."""
        faults = self.faults()
        done: dict[int, dict[str, Any]] = {}
        if self.file is not None and self.file.exists():
            done = {int(one["seed"]): one for one in json.loads(self.file.read_text())["runs"] if one["nodes"] == self.nodes}
        for seed in range(self.seed, self.seed + self.runs):
            if seed in done:
                continue
            tell(f"run with seed {seed}")
            outcome = run(Plan(self.seconds, seed, faults, self.rate, nodes=self.nodes), tell)
            done[seed] = outcome.summary() | {"nodes": self.nodes, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                summary = summary_of(list(done.values()))
                self.file.write_text(json.dumps(summary, indent=1) + "\n")
                self.file.with_suffix(".md").write_text(as_markdown(summary))
                draw(summary, self.file.with_suffix(".png"))
        return summary_of(list(done.values()))

    @staticmethod
    def in_words(summary: dict[str, Any]) -> str:
        """The summary for people."""
        count = summary["counts"]
        lines = [
            f"{len(summary['runs'])} runs, {summary['faults']} faults: {count['events']} events in = "
            f"{count['processed_visible']} in a page of their own or newer + {count['duplicates']} duplicates + "
            f"{count['dead_letters']} dead letters; {count['repeated_pages']} pages repeated on the wire, "
            f"{count['repeated_identical']} of them identical; {len(summary['violations'])} violations"
        ]
        for name, kind in summary["kinds"].items():
            told = "" if kind["health_told"] is None else f", health told the truth {kind['health_told']}"
            lines.append(f"{name}: {kind['count']} x, first page after {kind['recovery_seconds_max']} s at most{told}")
        return "\n".join([*lines, *summary["violations"][:20]])


def summary_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all runs, figures by kind of fault, and the runs themselves."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in runs:
        for fault in one["faults"]:
            kinds[fault["name"]].append(fault)
    violations = [f"seed {one['seed']}: {text}" for one in runs for text in one["report"]["violations"]]
    return {
        "machine": platform.machine(),
        "counts": {name: sum(one["report"][name] for one in runs) for name in _COUNTS},
        "faults": sum(len(one["faults"]) for one in runs),
        "kills": sum(fault["name"].startswith("kill -9") for one in runs for fault in one["faults"]),
        "valid": all(one["valid"] for one in runs),
        "laws_hold": not violations,
        "violations": violations,
        "kinds": {name: _of_kind(faults) for name, faults in sorted(kinds.items())},
        "runs": runs,
    }


def _of_kind(faults: list[dict[str, Any]]) -> dict[str, Any]:
    told = [fault["health_told"] for fault in faults if fault["health_told"] is not None]
    recovered = [fault["recovery_seconds"] for fault in faults if fault["recovery_seconds"] is not None]
    return {
        "count": len(faults),
        "happened": sum(bool(fault["evidence"]) for fault in faults),
        "recovery_seconds_median": round(statistics.median(recovered), 2) if recovered else None,
        "recovery_seconds_max": round(max(recovered), 2) if recovered else None,
        "heal_seconds_max": round(max(fault["heal_seconds"] for fault in faults), 2),
        "staleness_ms_max": max((fault["staleness_ms"] for fault in faults), default=0.0),
        "repeated_pages": sum(fault["repeated_pages"] for fault in faults),
        "degraded_pages": sum(fault["degraded_pages"] for fault in faults),
        "lost": sum(fault["lost"] for fault in faults),
        "health_told": f"{sum(told)} of {len(told)}" if told else None,
    }

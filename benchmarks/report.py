"""The figures of a run as tables in the terminal."""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.systems import TITLES


def show(found: dict[str, Any], console: Console) -> None:
    """Latency by system and rate, what each layer costs, ratios, and the rest."""
    console.print(_latency(found))
    for rate, rows in found["layers"].items():
        console.print(_layers(float(rate), rows))
    console.print(_highest(found["highest_rate"]))
    console.print(_ratios(found["ratios"]))
    eligible, step, again = found["eligibility"], found["session_step"]["step_us"], found["session_step"]["reencode_us"]
    console.print(
        f"session step {step['50']:.0f} us at 50 events, {step['500']:.0f} at 500; encoding again {again['50']:.0f} and "
        f"{again['500']:.0f}; largest difference {found['session_step']['max_difference']:.1e}"
    )
    for name, figures in eligible.items():
        console.print(f"catalogue record to eligible item, {name}: p50 {figures['p50']:.2f} s, p95 {figures['p95']:.2f} s")
    console.print(f"resident MB {found['resident_mb']}; seconds to the first answer {found['start_seconds']}")


def _latency(found: dict[str, Any]) -> Table:
    table = Table(title="event to page, ms (median of the rounds)", box=None, title_justify="left")
    for header in ("events/s", "system", "p50", "p95", "p99", "p99.9", "CPU ms an event"):
        table.add_column(header, justify="left" if header == "system" else "right")
    for rate in next(iter(found["median"].values())):
        for system, by_rate in found["median"].items():
            names = ("p50", "p95", "p99", "p999", "cpu_ms_per_event")
            table.add_row(f"{float(rate):.0f}", TITLES[system], *(_number(by_rate[rate].get(name)) for name in names))
        table.add_section()
    return table


def _highest(highest: dict[str, list[float]]) -> Table:
    table = Table(title="highest rate with p99 below 50 ms, events/s", box=None, title_justify="left")
    for header in ("system", "median", "searches"):
        table.add_column(header, justify="left" if header == "system" else "right")
    for system, found in highest.items():
        table.add_row(TITLES[system], f"{statistics.median(found):.0f}", " ".join(f"{rate:.0f}" for rate in found))
    return table


def _layers(rate: float, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"what each layer adds at {rate:.0f} events/s", box=None, title_justify="left")
    for header in ("layer", "p50 ms", "p99 ms", "CPU ms an event"):
        table.add_column(header, justify="left" if header == "layer" else "right")
    for row in rows:
        table.add_row(row["layer"], *(_number(row.get(name), signed=True) for name in ("p50", "p99", "cpu_ms_per_event")))
    return table


def _ratios(ratios: dict[str, dict[str, float]]) -> Table:
    table = Table(title="product over the hand loop with Triton, round by round", box=None, title_justify="left")
    for header in ("", "median", "min", "max"):
        table.add_column(header, justify="left" if not header else "right")
    for name, found in ratios.items():
        table.add_row(name, *(f"{found[which]:.2f}" for which in ("median", "min", "max")))
    return table


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.2f}" if signed else f"{value:.2f}"

"""`python -m benchmarks.readme`: README's table of figures, written from the newest files in benchmarks/results.

No figure in README is typed by a person: `tests/unit/benchmarks/test_readme.py` fails when the table is not what the committed
results give.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.settings import ROOT

RESULTS = Path(__file__).parent / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: begin, by `python -m benchmarks.readme` -->", "<!-- figures: end -->"


def newest_latency(folder: Path = RESULTS) -> Path:
    """The latency result of the newest date."""
    return max(folder.glob("*-latency.json"))


def table(folder: Path = RESULTS) -> str:
    """Markdown of all figures, with the machine, the date and the commit of the latency run below."""
    latency = json.loads(newest_latency(folder).read_text())
    lines = ["| what | measured | wanted |", "|---|---|---|"]
    lines += [f"| {what} | {value} | {wanted} |" for what, value, wanted in _rows(latency, folder)]
    about = latency["machine"]
    lines += [
        "",
        f"{about['cpu']}, {about['cores']} cores, everything on them; {about['date'][:10]}, commit {about['commit']}.",
    ]
    return "\n".join(lines)


def _rows(latency: dict[str, Any], folder: Path) -> Iterator[tuple[str, str, str]]:
    median, ratios = latency["median"], latency["ratios"]
    rates = sorted(median["product"], key=float)
    for rate in rates:
        ours = median["product"][rate]
        yield f"event to page at {float(rate):.0f} events/s, p50 / p99", f"{ours['p50']:.1f} / {ours['p99']:.1f} ms", ""
    for name, wanted in (("p50 at 200/s", "≤ 1.5"), ("p99 at 200/s", "≤ 2"), ("highest rate", "≥ 0.8")):
        found = ratios[name]
        value = f"{found['median']:.2f} ({found['min']:.2f} – {found['max']:.2f})"
        yield f"over a hand-written loop with Triton, {name}", value, wanted
    highest = statistics.median(latency["highest_rate"]["product"])
    yield "highest rate with p99 < 50 ms, one worker", f"{highest:.0f} events/s", ""
    for name, found in latency["eligibility"].items():
        when = "idle" if name == "idle_s" else "at 200 events/s"
        yield f"catalogue record to eligible, p95, {when}", f"{found['p95']:.2f} s", "≤ 5 s"
    step = latency["session_step"]["step_us"]
    yield "session step after 5 / 500 events", f"{step['5']:.0f} / {step['500']:.0f} µs", "flat"
    if (folder / "gateway_load.json").exists():
        run = json.loads((folder / "gateway_load.json").read_text())["runs"][0]
        value = f"{run['accepted_events_per_second']:.0f} events/s, p99 {run['latency_ms']['p99']:.1f} ms"
        yield "gateway, one event a request", value, "2,000/s, < 50 ms"
    if (folder / "click_to_pixels.json").exists():
        found = json.loads((folder / "click_to_pixels.json").read_text())["ms"]
        yield "click to pixels in Chromium, p50 / p95", f"{found['p50']:.0f} / {found['p95']:.0f} ms", ""
    yield from _operations(folder)
    yield from _models(folder)


def _read(file: Path) -> dict[str, Any] | None:
    """A result, None where it was never taken."""
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _operations(folder: Path) -> Iterator[tuple[str, str, str]]:
    """What happens under harm and change."""
    if million := _read(folder / "nemesis-million.json"):
        counts = million["counts"]
        value = f"{counts['lost']} lost, {counts['visible_duplicates']} shown twice, {counts['backwards']} backwards"
        yield f"{counts['events']:,} events under {million['kill_count']} kill -9", value, "0, 0, 0"
    if recovery := _read(folder / "recovery.json"):
        value = f"{recovery['restored_seconds']:.1f} s, {recovery['different']} different"
        yield f"{recovery['sessions']:,} sessions after kill -9 of every worker", value, "≤ 15 s, 0"
    if burst := _read(folder / "burst.json"):
        times = burst["burst_rate"] / burst["base_rate"]
        value = f"p99 {burst['burst_ms']['p99']:.0f} ms, drained in {burst['drain_seconds']:.1f} s"
        yield f"{times:.0f} times the traffic for {burst['burst_seconds']:.0f} s", value, "p99 < 1 s, < 60 s"
    if poison := _read(folder / "poison.json"):
        value = f"{poison['crashes']} crashes, healthy p99 {100 * poison['p99_rise']:+.0f} %"
        yield f"{poison['payloads']:,} mutated payloads between healthy events", value, "0, ≤ +10 %"
    if soak := _read(folder / "soak.json"):
        yield _soaked(soak)
    if flip := _read(folder / "flip.json"):
        ratio = statistics.median(each["p99_during_to_before"] for each in flip["flips"])
        yield "another model goes live at 200 events/s, p99 during over before", f"{ratio:.2f}", "≤ 1.5"


def _soaked(soak: dict[str, Any]) -> tuple[str, str, str]:
    growth = {name: each["anonymous_mb"]["per_hour"] for name, each in soak["processes"].items() if each["anonymous_mb"]}
    *others, most = sorted(growth, key=lambda name: growth[name])
    value = (
        f"{sum(soak['restarts'].values())} restarts; memory {growth[most]:+.1f} MB/h ({most}), "
        f"others at most {max(growth[name] for name in others):+.1f}"
    )
    return f"{soak['hours']:.0f} hours at {soak['plan']['rate']:.0f} events/s", value, "0, < 1 MB/h"


_SETS = {"diginetica": "Diginetica", "yoochoose1_64": "Yoochoose 1/64", "beauty": "Beauty"}


def _against_goals(what: str, goals: dict[str, Any]) -> tuple[str, str, str]:
    value = " / ".join(f"{100 * goal['reached']:.3f}" for goal in goals.values())
    wanted = " / ".join(f"> {100 * goal['goal']:.1f}" for goal in goals.values())
    return f"{what}, {' / '.join(goals)}, %", value, wanted


def _models(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Next-item quality of what streams, in percent."""
    quality = _read(folder / "quality.json") or {"sets": {}}
    for name, found in quality["sets"].items():
        yield _against_goals(_SETS.get(name, name), found["goals"])
    parts = (_read(folder / "fusion.json") or {"parts": {}})["parts"]
    if "histories" in parts:
        yield _against_goals("Instruments by text, picture and ids", parts["histories"]["goals"])
    if "cold" in parts:
        rows = parts["cold"]["rows"]
        names = ("ids+text+image", "text", "image")
        both, *alone = (100 * rows[name]["content neighbours"]["easy"]["recall@10"] for name in names)
        yield (
            "… new items among new ones, all together, recall@10, %",
            f"{both:.1f}",
            f"> {alone[0]:.1f} by text, {alone[1]:.1f} by picture",
        )


def rewritten(text: str, figures: str) -> str:
    """README with the table between its marks replaced.

    Raises:
        ValueError: if a mark is missing.
    """
    head, _, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        message = f"README.md: expected the marks {BEGIN} and {END}"
        raise ValueError(message)
    return f"{head}{BEGIN}\n{figures}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(), table()))

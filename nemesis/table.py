"""The summary of a series as a Markdown page, so that no figure of it is copied by hand."""

from __future__ import annotations

from typing import Any

_HEAD = (
    "| fault | times | happened | recovery, median s | recovery, longest s | oldest event s | repeated "
    "on the wire | by the fallback | lost | health told the truth |"
)


def as_markdown(summary: dict[str, Any]) -> str:
    """Counts, then a row for each kind of fault."""
    count, runs = summary["counts"], summary["runs"]
    accounted = count["processed_visible"] + count["duplicates"] + count["dead_letters"]
    lines = [
        "# Faults and what they cost",
        "",
        "Written by `vitrine nemesis --out`. Recovery: from the beginning of the fault until every partition has a full page",
        "for an event that arrived since, so a pause counts with its length. A busy machine makes every time longer.",
        "",
        f"- runs: {len(runs)} (seeds {', '.join(str(one['seed']) for one in runs)}; {runs[0]['nodes'] if runs else 0} "
        f"brokers), {sum(one['seconds'] for one in runs):.0f} s in all, from {min((one['at'] for one in runs), default='')}",
        f"- faults: {summary['faults']}, kill -9 among them: {summary['kills']}; every one evidenced: {_yes(summary['valid'])}",
        f"- events in: {count['events']} = {count['processed_visible']} in a page of their own or a newer one + "
        f"{count['duplicates']} duplicates + {count['dead_letters']} dead letters; accounted for: {accounted}",
        f"- pages: {count['pages']}, flagged degraded {count['degraded_pages']}, repeated on the wire "
        f"{count['repeated_pages']}, of these identical {count['repeated_identical']}",
        f"- violations of the laws: {len(summary['violations'])}",
        "",
        _HEAD,
        "|---" * 10 + "|",
    ]
    lines += [_row(name, kind) for name, kind in summary["kinds"].items()]
    return "\n".join([*lines, "", *(f"- {text}" for text in summary["violations"])]).rstrip() + "\n"


def _yes(value: object) -> str:
    return "yes" if value else "NO"


def _row(name: str, kind: dict[str, Any]) -> str:
    cells = (
        name,
        kind["count"],
        kind["happened"],
        _or_dash(kind["recovery_seconds_median"]),
        _or_dash(kind["recovery_seconds_max"]),
        round(kind["staleness_ms_max"] / 1000, 2),
        kind["repeated_pages"],
        kind["degraded_pages"],
        kind["lost"],
        _or_dash(kind["health_told"]),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _or_dash(value: object) -> object:
    return "–" if value is None else value

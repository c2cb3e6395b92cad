"""A run's figures as one HTML page without outside parts: table of models, curves, and where each model is good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.sessions.report_plots import before_and_after, by_group, learning_curve

_OURS = ("encoder before training", "encoder", "session neighbours, tuned", "blend")
_STYLES = {"blend": "ours", "encoder": "encoder"}
_GROUPS = (
    ("length", "By length of the session", "A prefix of one click says little of a visitor; a long one holds several wishes."),
    (
        "clicks",
        "By popularity of the target",
        "Rare items are where methods differ: an encoder needs examples, neighbours need one session.",
    ),
    (
        "position",
        "By where the target stood in the prefix",
        "Coming back to an item is easy to guess; “not in prefix” is what a visitor had not seen in this session.",
    ),
)


def _tiles(figures: dict[str, Any], metrics: list[str]) -> list[dict[str, str]]:
    """The blend's figures beside the best of the other methods."""
    models = figures["models"]
    tiles = []
    for metric in metrics[:2]:
        ours = models["blend"][metric]
        others = {name: values[metric] for name, values in models.items() if name not in _OURS}
        best = max(others, key=lambda name: others[name])
        words = f"{best}: {others[best]:.4f}"
        if others[best] > 0:
            words += f", {ours / others[best] - 1:+.1%} to it"
        tiles.append({"name": f"blend, {metric}", "value": f"{ours:.4f}", "words": words})
    minutes = figures["minutes"]
    words = f"encoder {minutes['encoder']:.1f}, blend {minutes['blend']:.1f}; torch threads: {figures['machine']['threads']}"
    tiles.append({"name": "minutes of training", "value": f"{minutes['encoder'] + minutes['blend']:.1f}", "words": words})
    return tiles


def _rows(figures: dict[str, Any], metrics: list[str]) -> list[dict[str, Any]]:
    """Models from the worst to the best by the first metric."""
    models = figures["models"]
    most = max(values[metrics[0]] for values in models.values()) or 1.0
    return [
        {
            "name": name,
            "style": _STYLES.get(name, ""),
            "values": [f"{values[metric]:.4f}" for metric in metrics],
            "width": round(100 * values[metrics[0]] / most, 1),
        }
        for name, values in sorted(models.items(), key=lambda pair: pair[1][metrics[0]])
    ]


def _figures(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Every plot with its title and what to look for."""
    plots = [
        ("Before and after training", "The same encoder with random weights, trained, and blended.", before_and_after(figures)),
        (
            "Learning curve",
            "Training stops when the validation slice, the last tenth of the training sessions, no longer gains.",
            learning_curve(figures),
        ),
    ]
    plots += [(title, f"{words} Percentages: share of the queries.", by_group(figures, axis)) for axis, title, words in _GROUPS]
    return [{"title": title, "words": words, "svg": Markup(svg)} for title, words, svg in plots]  # noqa: S704 - our own plots


def render(figures: dict[str, Any], *, histories: bool) -> str:
    """The page.

    Args:
        figures: result of `training.sessions.evaluate.run` with `machine` (commit, date, cpu, cores, threads).
        histories: whether the log holds user histories instead of sessions.
    """
    metrics = list(figures["models"]["blend"])
    machine = figures["machine"]
    about = [
        ("Date", machine["date"]),
        ("Commit", machine["commit"]),
        ("Machine", f"{machine['cpu']}, {machine['cores']} cores, torch threads: {machine['threads']}"),
        ("Seed", figures["seed"]),
        ("Minutes", ", ".join(f"{name} {value}" for name, value in figures["minutes"].items())),
        (
            "Targets among the blend's candidates",
            f"{figures['validation_targets_among_candidates']:.1%} on the validation slice",
        ),
        ("Blend learned from", f"{figures['blend_queries']:,} validation queries"),
        ("Encoder's recipe", ", ".join(f"{name} {value}" for name, value in figures["recipe"].items())),
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    return environment.get_template("report.html.j2").render(
        f=figures,
        kind="histories" if histories else "sessions",
        metrics=metrics,
        tiles=_tiles(figures, metrics),
        rows=_rows(figures, metrics),
        figures=_figures(figures),
        about=about,
    )

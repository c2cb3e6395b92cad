"""The report of a fine-tuning: JSON, Markdown, a picture, and all of it as one HTML page."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

mpl.use("Agg")

SHOWN = 12
"""Classes in the picture; the JSON has all."""
_BEFORE, _AFTER = "#9aa5b1", "#c8443f"


def write(figures: dict[str, Any], folder: Path) -> Path:
    """Write `report.json`, `report.md`, `report.png` and `report.html`.

    Args:
        figures: of :func:`training.finetune.run.run`.
        folder: created if missing.

    Returns:
        The HTML page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_markdown(figures), encoding="utf-8")
    draw(figures, folder / "report.png")
    page = folder / "report.html"
    page.write_text(_page(figures, folder / "report.png"), encoding="utf-8")
    return page


def heading(figures: dict[str, Any]) -> list[str]:
    """What was trained on what, in two sentences."""
    recipe, items = figures["recipe"], figures["items"]
    share = figures["trainable"] / figures["parameters"]
    return [
        f"{figures['task']}: {figures['classes']} classes, {items['train']:,} items to learn from, {items['validation']:,} to "
        f"stop by, {items['test']:,} to measure; {figures['left_out']:,} items of rarer classes left out.",
        f"Mode {recipe['mode']}, towers {recipe['towers']}: {figures['trainable']:,} of {figures['parameters']:,} parameters "
        f"trained ({share:.1%}); best of {figures['epochs']} epochs: {figures['best_epoch']}; {figures['minutes']:.1f} "
        f"minutes, {figures['processes']} process(es), seed {recipe['seed']}.",
    ]


def overall(figures: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Name, before, after."""
    names = ("accuracy", "macro_f1", "weighted_f1", "loss")
    return [(name.replace("_", "-"), figures["before"][name], figures["after"][name]) for name in names]


def _by_class(figures: dict[str, Any]) -> list[tuple[str, int, float, float]]:
    """Name, test items, F1 before and after; the largest class first."""
    before, after = figures["before"]["classes"], figures["after"]["classes"]
    rows = [(name, int(row["support"]), before[name]["f1-score"], row["f1-score"]) for name, row in after.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _markdown(figures: dict[str, Any]) -> str:
    lines = [
        "# Fine-tuning report",
        "",
        *heading(figures),
        "",
        "Before is the nearest class mean of the pretrained towers.",
        "",
    ]
    lines += ["| test part | before | after |", "|---|---|---|"]
    lines += [f"| {name} | {before:.4f} | {after:.4f} |" for name, before, after in overall(figures)]
    lines += ["", "| class | items | F1 before | F1 after | precision | recall |", "|---|---|---|---|---|---|"]
    for name, support, before, after in _by_class(figures):
        row = figures["after"]["classes"][name]
        lines.append(f"| {name} | {support} | {before:.3f} | {after:.3f} | {row['precision']:.3f} | {row['recall']:.3f} |")
    return "\n".join([*lines, "", "![Learning curve and F1 by class](report.png)", ""])


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _page(figures: dict[str, Any], picture: Path) -> str:
    whole = [[name, f"{before:.4f}", f"{after:.4f}"] for name, before, after in overall(figures)]
    classes = [[name, str(support), f"{before:.3f}", f"{after:.3f}"] for name, support, before, after in _by_class(figures)]
    encoded = base64.b64encode(picture.read_bytes()).decode()
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8><title>Fine-tuning report</title>",
            "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
            "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}"
            "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>",
            "<h1>Fine-tuning report</h1>",
            *(f"<p>{html.escape(line)}</p>" for line in heading(figures)),
            "<p>Before is the nearest class mean of the pretrained towers.</p>",
            _table(["test part", "before", "after"], whole),
            f'<img alt="Learning curve and F1 by class" src="data:image/png;base64,{encoded}">',
            _table(["class", "items", "F1 before", "F1 after"], classes),
            "</html>",
        ]
    )


def draw(figures: dict[str, Any], target: Path) -> None:
    """Loss, validation figures, and F1 of the largest classes before and after."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    loss, quality, classes = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    curve = figures["curve"]
    epochs = range(1, len(curve) + 1)
    loss.plot(epochs, [row["loss"] for row in curve], marker="o", markersize=3, color=_BEFORE, label="training")
    loss.plot(epochs, [row["validation/loss"] for row in curve], marker="o", markersize=3, color=_AFTER, label="validation")
    loss.set(title="cross-entropy", xlabel="epoch", ylim=(0, None))
    for name, colour in (("accuracy", _BEFORE), ("macro_f1", _AFTER)):
        values = [row[f"validation/{name}"] for row in curve]
        quality.plot(epochs, values, marker="o", markersize=3, color=colour, label=name.replace("_f1", "-F1"))
    if figures["best_epoch"]:
        quality.axvline(figures["best_epoch"], color="#ccc", linestyle="--", label="kept")
    quality.set(title="validation part", xlabel="epoch")
    rows = _by_class(figures)[:SHOWN][::-1]
    places = list(range(len(rows)))
    for row, (_, _, before, after) in zip(places, rows, strict=True):
        classes.plot([before, after], [row, row], color="#ccc", zorder=1)
    classes.scatter([row[2] for row in rows], places, color=_BEFORE, label="before", zorder=2)
    classes.scatter([row[3] for row in rows], places, color=_AFTER, label="after", zorder=3)
    classes.set_yticks(places, [f"{name} ({support})" for name, support, _, _ in rows], fontsize=8)
    classes.set(title="F1 of the largest classes, test part", xlim=(-0.03, 1.03))
    for axis in (loss, quality):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (loss, quality, classes):
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)

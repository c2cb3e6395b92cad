"""The before/after report of a training run: JSON, Markdown and one plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("Agg")

ROWS = {
    "before": "untrained networks",
    "popularity": "popularity",
    "co_visits": "co-visits of the newest item",
    "after": "Vitrine, all targets",
    "after_known_items": "Vitrine, known items",
    "after_new_items": "Vitrine, new items among all",
}


def write_report(metrics: dict[str, Any], folder: Path) -> Path:
    """Write `report.json`, `report.md` and `report.png`.

    Args:
        metrics: of :func:`training.demo.train_demo`.
        folder: created if missing.

    Returns:
        The Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    _plot(metrics, folder / "report.png")
    report = folder / "report.md"
    report.write_text("\n".join(_lines(metrics)) + "\n", encoding="utf-8")
    return report


def _lines(metrics: dict[str, Any]) -> list[str]:
    size = f"{metrics['visits']:,} visits, {metrics['events']:,} events, {metrics['products']:,} products"
    lines = [
        "# Training report",
        "",
        f"{size}; seed {metrics['seed']}, {metrics['minutes']} minutes on {metrics['threads']} thread(s).",
    ]
    lines += [
        "",
        "## Next item, shoppers that training did not see",
        "",
        "| | Recall@20 | MRR@20 | targets |",
        "|---|---|---|---|",
    ]
    found = metrics["next_item"]
    lines += [_row(title, found[name]) for name, title in ROWS.items()]
    cold = found["new_items_among_themselves"]
    lines += ["", f"## New items, hidden from training, ranked among themselves ({cold['items']} items)", ""]
    lines += ["| answered by | Recall@20 | MRR@20 | targets |", "|---|---|---|---|"]
    lines += [_row(name, cold[name]) for name in ("text", "image", "text+image")]
    lines += [f"| chance | {cold['chance_recall@20']:.3f} | | |", "", "## Ranker, pages that training did not see", ""]
    ranker = metrics["ranker"]
    lines += [f"| order by | NDCG@{ranker['k']} |", "|---|---|"]
    lines += [f"| {name} | {ranker[f'ndcg_{key}']:.3f} |" for name, key in
              (("chance", "random_order"), ("query", "query_alone"), ("ranker", "ranker"))]  # fmt: skip
    lines += [
        "",
        f"Expected calibration error of the click probability: {ranker['ece']:.4f} (click rate {ranker['click_rate']:.3f}).",
        "",
        "| head | rate of all places | AUC | calibration error |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {head['rate']:.4f} | {head['auc']:.3f} | {head['ece']:.4f} |" for name, head in ranker["heads"].items()
    ]
    lines += [
        "",
        "## The same shoppers with three kinds of pages",
        "",
        "| pages | clicked | at the first place | then into the cart | then bought |",
        "|---|---|---|---|---|",
    ]
    rates = ("click_rate", "first_place_rate", "cart_rate", "purchase_rate")
    lines += [f"| {name} | {' | '.join(f'{row[rate]:.3f}' for rate in rates)} |" for name, row in metrics["pages"].items()]
    return [*lines, "", "![Learning curves, recall and calibration](report.png)"]


def _row(title: str, values: dict[str, float]) -> str:
    return f"| {title} | {values['recall@20']:.3f} | {values['mrr@20']:.3f} | {values['targets']:,} |"


def _plot(metrics: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    curve, bars, reliability = figure.subplots(1, 3)
    for name, losses in (metrics["losses"] | {"clicks": metrics["ranker"]["losses"]}).items():
        curve.plot(range(1, len(losses) + 1), [loss / losses[0] for loss in losses], marker="o", markersize=3, label=name)
    curve.set(title="loss, relative to the first epoch", xlabel="epoch")
    curve.legend(frameon=False)
    names = ["before", "popularity", "co_visits", "after"]
    bars.bar(names, [metrics["next_item"][name]["recall@20"] for name in names], color=["#bbb", "#9ab", "#69a", "#c53"])
    bars.set(title="Recall@20 of the next item")
    rows = metrics["ranker"]["reliability"]
    top = max(max(row[0], row[1]) for row in rows)
    reliability.plot([0, top], [0, top], color="#bbb")
    reliability.plot([row[0] for row in rows], [row[1] for row in rows], marker="o", color="#c53")
    reliability.set(title="click probability", xlabel="predicted", ylabel="observed")
    figure.savefig(path, dpi=110)

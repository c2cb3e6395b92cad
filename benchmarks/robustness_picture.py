"""The robustness benchmark as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

_METHODS = {"encoder": "#3f7cac", "session neighbours": "#4f9d69", "item-KNN": "#9aa5b1"}
_BLUE, _RED, _GREY = "#3f7cac", "#c8443f", "#9aa5b1"


def draw(result: dict[str, Any], target: Path) -> None:
    """A panel or two for each part that the result holds."""
    panels = [(part, panel) for part, panel in _panels() if part in result]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5.4 * columns, 4.7 * rows), layout="constrained", squeeze=False)
    for axis, (part, panel) in zip(axes.flat, panels, strict=False):
        panel(axis, result[part])
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("Robustness and exposure", fontsize=12)
    figure.savefig(target, dpi=90)
    plt.close(figure)


def _panels() -> list[tuple[str, Callable[[Any, dict[str, Any]], None]]]:
    return [
        ("content", _content),
        ("clicks", _chance),
        ("clicks", _bots),
        ("clicks", _boost),
        ("stuffing", _stuffing),
        ("fairness", _deciles),
        ("fairness", _trade),
    ]


def _content(axis: Any, part: dict[str, Any]) -> None:
    rows = part["conditions"]
    places = np.arange(len(rows))
    for offset, (group, colour, label) in enumerate(
        (("known", _BLUE, "products with clicks"), ("new", _RED, "new products, without clicks"))
    ):
        values = [row[group]["recall@20"] for row in rows]
        bars = axis.barh(places + 0.4 * offset, values, 0.38, color=colour, label=label)
        axis.bar_label(bars, fmt="%.3f", fontsize=7, padding=2)
    axis.set_yticks(places + 0.2, [row["condition"] for row in rows])
    axis.invert_yaxis()
    axis.set_title(f"Recall@20 of {part['changed_products']} products whose content is changed", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.05), ncols=2)


def _chance(axis: Any, part: dict[str, Any]) -> None:
    rows = part["chance_clicks"]
    for name, colour in _METHODS.items():
        axis.plot(
            [100 * row["share"] for row in rows],
            [row["models"][name]["recall@20"] for row in rows],
            "o-",
            color=colour,
            label=name,
        )
    axis.set_ylim(bottom=0)
    axis.set_xlabel("chance clicks in the prefix, %", fontsize=9)
    axis.set_title(f"Recall@20 by chance clicks, {part['data']}", fontsize=10)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)


def _by_share(axis: Any, part: dict[str, Any], values: Callable[[dict[str, Any], str], float]) -> None:
    """A value of each method by share of bots, without the filter and with it; both begin at the log without bots."""
    for name, colour in _METHODS.items():
        for kind, style in (("", "o-"), ("filtered", "o:")):
            rows = [row for row in part["bots"]["rows"] if row["share"] == 0 or row["filter"] == kind]
            shares = [100 * row["share"] for row in rows]
            axis.plot(shares, [values(row, name) for row in rows], style, color=colour, label="" if kind else name)
    axis.plot([], [], ":", color="black", label="bots filtered")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("bot sessions in the log, %", fontsize=9)
    axis.grid(alpha=0.25)


def _bots(axis: Any, part: dict[str, Any]) -> None:
    _by_share(axis, part, lambda row, name: float(row["models"][name]["recall@20"]))
    axis.set_title(f"Recall@20 by bots, {part['data']}", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="lower left")


def _boost(axis: Any, part: dict[str, Any]) -> None:
    _by_share(axis, part, lambda row, name: 100.0 * float(row["boosted_shown"][name]))
    axis.set_title("answers with the item that the bots boost, %", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.08))


def _stuffing(axis: Any, part: dict[str, Any]) -> None:
    rows = [row for row in part["attacks"] if row["attack"] != "none"]
    names = list(dict.fromkeys(row["attack"] for row in rows))
    bars_of = [("known", "", _BLUE), ("known", "defended", "#9ecae1"), ("new", "", _RED), ("new", "defended", "#e8a9a6")]
    for offset, (group, defence, colour) in enumerate(bars_of):
        values = [
            next(row["lift"][group] for row in rows if (row["attack"], row["defence"]) == (name, defence)) for name in names
        ]
        label = f"{'with clicks' if group == 'known' else 'new'}{', defended' if defence else ''}"
        bars = axis.bar(np.arange(len(names)) + 0.2 * (offset - 1.5), values, 0.19, color=colour, label=label)
        axis.bar_label(bars, fmt="%.2f", fontsize=7, padding=1)
    axis.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
    axis.set_xticks(range(len(names)), [name.replace(", ", ",\n").replace("popular ", "popular\n") for name in names])
    axis.set_ylim(top=1.3 * max(1.0, *(row["lift"][group] for row in rows for group in ("known", "new"))))
    axis.set_title("exposure of products with stuffed titles, × that of honest ones", fontsize=10)
    axis.legend(frameon=False, fontsize=8, ncols=2)


def _deciles(axis: Any, part: dict[str, Any]) -> None:
    places = np.arange(10)
    chosen = [part["rows"][0], part["rows"][len(part["rows"]) // 2], part["rows"][-1]]
    for offset, (row, colour) in enumerate(zip(chosen, (_GREY, "#9ecae1", _BLUE), strict=True)):
        axis.bar(
            places + 0.26 * (offset - 1),
            [100 * value for value in row["deciles"]],
            0.25,
            color=colour,
            label=f"exposure {row['strength']:g}",
        )
    axis.plot(places, [100 * value for value in part["deciles"]["relevance"]], "D", color=_RED, label="views by shoppers")
    axis.axhline(10, color="black", linewidth=0.8, linestyle="--", label="share of the catalogue")
    axis.set_xticks(places, [str(place + 1) for place in places])
    axis.set_xlabel("popularity decile, 10 the most popular", fontsize=9)
    axis.set_title("share of the exposure, %", fontsize=10)
    axis.legend(frameon=False, fontsize=8)


def _trade(axis: Any, part: dict[str, Any]) -> None:
    rows = part["rows"]
    top = max(row["ndcg@10"] for row in rows)
    axis.plot([row["gini_by_decile"] for row in rows], [row["ndcg@10"] / top for row in rows], "o-", color=_BLUE)
    for place, row in enumerate(rows):
        at = (row["gini_by_decile"], row["ndcg@10"] / top)
        axis.annotate(
            f"{row['strength']:g}", at, textcoords="offset points", xytext=(0, -14 if place % 2 else 8), fontsize=8, ha="center"
        )
    axis.set_ylim(0.9 * min(row["ndcg@10"] for row in rows) / top, 1.02)
    axis.set_xlim(left=0)
    axis.set_xlabel("Gini coefficient of the exposure between popularity deciles (0: all alike)", fontsize=9)
    axis.set_ylabel("NDCG@10 of what was viewed next, share of the best", fontsize=9)
    axis.set_title("page.exposure: relevance against equality (cut axis)", fontsize=10)
    axis.grid(alpha=0.25)

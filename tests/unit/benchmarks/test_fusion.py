"""The fusion benchmark's file and picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import fusion, fusion_picture

MACHINE = {"cores": 2, "threads": 1, "seed": 0, "commit": "abc", "date": "2026-01-01T00:00:00"}
KINDS = ("text", "image", "text+image")


def results() -> dict[str, Any]:
    models = ("item-KNN", "encoder, ids", "encoder, ids+text+image", "blend, ids", "blend, ids+text+image")
    table = {
        "machine": MACHINE,
        "users": 9,
        "items": 5,
        "models": {name: {"recall@10": 0.1, "ndcg@10": 0.1} for name in models},
        "goals": {name: {"goal": goal, "reached": 0.1, "met": False} for name, goal in fusion.GOALS.items()},
        "by count": [{"seen": "0–4", "targets": 3, **dict.fromkeys(models, 0.1)}],
    }
    row = {kind: {"recall@10": 0.1, "ndcg@10": 0.1} for kind in ("easy", "hard")}
    cold = {"hidden items": 2, "queries": 3, "chance": {"easy": 0.5, "hard": 0.1}, "rows": {"ids": row, "ids+text+image": row}}
    judged = {"article type": "accuracy", "title → image": "MRR"}
    tasks = {task: {kind: {measure: 0.5} for kind in KINDS} for task, measure in judged.items()}
    better = dict.fromkeys(judged, True)
    fashion = {"products": {"test": 3}, "tasks": tasks, "judged by": judged, "both better than either": better}
    return {"parts": {"histories": table, "cold": {"machine": MACHINE, **cold}, "fashion": {"machine": MACHINE, **fashion}}}


def test_every_part_alone_and_all_together_have_a_picture_and_a_table(tmp_path: Path) -> None:
    whole = results()
    for name, figures in whole["parts"].items():
        fusion_picture.draw({"parts": {name: figures}}, tmp_path / f"{name}.png")
        assert fusion.table(name, figures).row_count >= 2
    fusion_picture.draw(whole, tmp_path / "all.png")
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_a_part_replaces_its_own_figures_only_and_parts_keep_their_order(tmp_path: Path) -> None:
    target = tmp_path / "fusion.json"
    target.write_text(json.dumps({"parts": {"fashion": {"old": 1}, "cold": {"old": 2}}}))
    made = fusion.merged(target, "histories", {"new": 3})
    assert list(made["parts"].items()) == [("histories", {"new": 3}), ("cold", {"old": 2}), ("fashion", {"old": 1})]


def test_data_that_is_not_there_is_skipped_with_a_sentence_and_unknown_parts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHARED_DATA", str(tmp_path))
    fusion.main(only=["cold"], out=tmp_path / "out.json")
    assert "cold skipped" in capsys.readouterr().out
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(typer.BadParameter, match="nothing, expected some of histories, cold, fashion"):
        fusion.main(only=["nothing"])

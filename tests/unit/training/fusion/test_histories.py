"""The fused model of histories on a tiny log whose content says everything: codes, hidden items, learning, resuming."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigurationError
from training.fusion.codes import Histories, hide_items, read
from training.fusion.learning import ranks, train
from training.fusion.recipe import FusedRecipe

ITEMS = 48
SMALL = FusedRecipe(dim=16, code_width=16, code_dropout=0.0, targets=256, negatives=256, epochs=8, learning_rate=2e-2)


def write(path: Path, lines: list[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def write_log(folder: Path) -> None:
    """Item i = 8·a + b with text code a and picture code b; a visitor stays with a and walks through b."""
    rng = np.random.default_rng(0)
    walks = [[8 * kind + (start + step) % 8 for step in range(6)] for kind, start in rng.integers(0, (6, 8), (900, 2))]
    write(folder / "sequences.txt.gz", [f"{user} {' '.join(map(str, walk))}" for user, walk in enumerate(walks)])
    write(folder / "text_codes.tsv.gz", [f"{item}\t{item // 8}\t0" for item in range(ITEMS)])
    write(folder / "image_codes.tsv.gz", [f"{item}\t{item % 8}\t0" for item in range(ITEMS)])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Histories:
    folder = tmp_path_factory.mktemp("log")
    write_log(folder)
    return read(folder)


def test_an_item_without_codes_and_a_broken_line_are_named(tmp_path: Path) -> None:
    write_log(tmp_path)
    write(tmp_path / "text_codes.tsv.gz", [f"{item}\t1\t2" for item in range(ITEMS - 1)])
    with pytest.raises(ConfigurationError, match=r"text_codes.*no codes for 1 of 48 items, such as \[47\]"):
        read(tmp_path)
    write(tmp_path / "text_codes.tsv.gz", ["0\t1\tx"])
    with pytest.raises(ConfigurationError, match=r"text_codes.*'x'"):
        read(tmp_path)


def test_hidden_items_leave_the_training_and_stay_in_the_prefixes_of_the_test(log: Histories) -> None:
    cold = hide_items(log, percent=30)
    assert 5 < cold.hidden.sum() < 25
    assert not cold.hidden[np.concatenate(cold.data.fit)].any()
    assert not cold.hidden[cold.data.validation.targets].any()
    assert cold.hidden[cold.data.test.items[cold.data.test.items >= 0]].any()
    assert np.array_equal(cold.hidden, hide_items(log, percent=30).hidden)
    assert (cold.counts[cold.hidden] == 0).all()


def test_content_places_items_that_training_never_saw_and_both_modalities_say_more_than_one(
    log: Histories, tmp_path: Path
) -> None:
    cold = hide_items(log, percent=30)
    unseen = cold.data.test.pick(np.flatnonzero(cold.hidden[cold.data.test.targets]))
    found = {}
    for name in ("ids", "text", "text+image"):
        recipe = replace(SMALL, modalities=tuple(name.split("+")))
        model, _ = train(cold, tmp_path / name, recipe)
        found[name] = float((ranks(model, unseen, cold.hidden) <= 1).mean())
    assert found["text+image"] > found["text"] > found["ids"]


def test_a_killed_training_ends_as_an_unbroken_one(log: Histories, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(_stage: str, _share: float, words: str) -> None:
        if words:
            raise Killed

    recipe = replace(SMALL, epochs=3)
    with pytest.raises(Killed):
        train(log, tmp_path / "broken", recipe, kill)
    _, course = train(log, tmp_path / "broken", recipe)
    _, unbroken = train(log, tmp_path / "whole", recipe)
    assert [row["loss"] for row in course.curve] == pytest.approx([row["loss"] for row in unbroken.curve], rel=1e-6)
    with pytest.raises(ConfigurationError, match="name another folder"):
        train(log, tmp_path / "whole", replace(recipe, seed=5))

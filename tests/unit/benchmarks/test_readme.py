"""README's figures are those of the committed results."""

from __future__ import annotations

import pytest

from benchmarks.readme import BEGIN, END, README, rewritten, table
from contracts.settings import ROOT


def test_the_table_in_readme_is_what_the_results_give() -> None:
    text = README.read_text()
    assert rewritten(text, table()) == text


def test_every_picture_of_readme_exists_and_is_small() -> None:
    names = [part.partition(")")[0] for part in README.read_text().split("](")[1:]]
    pictures = [ROOT / name for name in names if name.endswith((".png", ".svg", ".webp"))]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 400_000, picture


def test_a_readme_without_its_marks_is_named() -> None:
    with pytest.raises(ValueError, match="figures: end"):
        rewritten(f"{BEGIN} no end", "x")
    assert rewritten(f"a{BEGIN}old{END}b", "new") == f"a{BEGIN}\nnew\n{END}b"

"""The search for what is left of a visitor: it finds what is there, also across the pieces in which it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemesis import erasure

MARKER = b"c0ffee" * 4


@pytest.mark.parametrize("place", [0, 5, 60, 64, 70, 1000])
def test_a_marker_is_found_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(erasure, "_CHUNK", 64)
    file = tmp_path / "data"
    file.write_bytes(b"x" * place + MARKER + b"x" * 100)
    assert erasure.holds_marker(file, MARKER)
    assert not erasure.holds_marker(file, MARKER[:-1] + b"d")


def test_hits_are_told_by_topic_and_the_changelog_is_one(tmp_path: Path) -> None:
    for name in ("shop.events.v1-3/0.log", "vitrine-worker-sessions-changelog-1/0.log", "log/worker-0.log"):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_bytes(MARKER)
    found = erasure.search([tmp_path, tmp_path / "missing"], MARKER)
    assert found.hits == {"shop.events.v1": 1, "changelog": 1, "worker-0.log": 1}
    assert (found.files, found.size) == (3, 3 * len(MARKER))

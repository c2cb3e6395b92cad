"""When the configured artefact is exported again before Triton starts."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigurationError
from contracts.releases import MANIFEST, OBJECTIVES
from contracts.settings import Settings, resolve
from stack import triton
from stack.environment import overridden


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The export's command lines; none of them is run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export of the demo's artefact, by the default objectives."""
    settings = Settings()
    monkeypatch.setattr(triton, "exported_models", lambda _: tmp_path)
    (tmp_path / MANIFEST).write_bytes((resolve(settings.model.path) / MANIFEST).read_bytes())
    (tmp_path / OBJECTIVES).write_text(settings.objectives.model_dump_json())
    return tmp_path


def test_what_is_exported_already_is_not_exported_again(folder: Path, exports: list[list[str]]) -> None:
    assert triton.ensure_exported(Settings()) == folder
    assert exports == []


def test_other_objectives_another_artefact_or_an_export_that_tells_no_objectives_are_exported(
    folder: Path, exports: list[list[str]]
) -> None:
    settings = Settings()
    triton.ensure_exported(overridden(settings, {"objectives": {"purchase": 5.0}}))
    assert len(exports) == 1
    (folder / OBJECTIVES).unlink()
    triton.ensure_exported(settings)
    assert len(exports) == 2
    (folder / OBJECTIVES).write_text(settings.objectives.model_dump_json())
    (folder / MANIFEST).write_text("{}")
    triton.ensure_exported(settings)
    assert len(exports) == 3


def test_an_export_that_failed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 2, "", "the artefact lacks a head")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(triton, "exported_models", lambda _: tmp_path)
    with pytest.raises(ConfigurationError, match="lacks a head"):
        triton.ensure_exported(Settings())

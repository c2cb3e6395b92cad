"""`vitrine train follow` on a file, as a data scientist calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.main import build
from contracts.errors import ConfigurationError
from contracts.keys import item_key
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH

ITEMS = 20


def artefact(folder: Path, *, enabled: tuple[float, float, float]) -> Path:
    torch.manual_seed(0)
    session = SessionConfig(dim=16, input_scale=4.0, dropout=0.1)
    made = artefacts.build("tiny", FusionConfig(dim=16), session, ScorerConfig(features=WIDTH))
    made.fusion.enabled.copy_(torch.tensor(enabled))
    made.keys = np.array([item_key("default", f"i{row}") for row in range(ITEMS)], dtype=np.int64)
    made.vectors = np.random.default_rng(0).normal(0, 0.1, (ITEMS, 16)).astype(np.float32)
    artefacts.save(made, folder)
    return folder


def table(path: Path, sessions: int) -> Path:
    """Visitors an hour apart who walk through the items in order."""
    starts = np.random.default_rng(1).integers(0, ITEMS, sessions)
    rows = [f"{at}\ti{(start + step) % ITEMS}\t{at * 3600 + step}" for at, start in enumerate(starts) for step in range(5)]
    path.write_text("\n".join(["SessionId\tItemId\tTime", *rows]) + "\n")
    return path


def test_follow_learns_publishes_and_goes_on_with_its_memory(tmp_path: Path) -> None:
    base, log, out = artefact(tmp_path / "tiny", enabled=(0.0, 0.0, 1.0)), table(tmp_path / "log.tsv", 260), tmp_path / "out"
    call = [
        "train",
        "follow",
        "--data",
        str(log),
        "--artefact",
        str(base),
        "--out",
        str(out),
        "--first",
        "50",
        "--every",
        "100",
    ]
    first = CliRunner().invoke(build(), [*call, "--hours", "100000"])
    assert first.exit_code == 0, first.output
    assert "update 1: 80 sessions" in first.output
    versions = sorted(int(path.name) for path in out.iterdir() if path.name.isdigit())
    assert versions
    assert versions[0] == 2  # the artefact is version 1
    assert (out / "memory.npz").exists()
    assert artefacts.load(out / str(versions[-1])).metrics["continual"]["published"]
    again = CliRunner().invoke(build(), [*call, "--hours", "100000"])
    assert again.exit_code == 0, again.output
    assert "update 1: 80 sessions" in again.output
    assert not set(versions) - {int(path.name) for path in out.iterdir() if path.name.isdigit()}


def test_a_model_with_texts_is_not_taught_from_a_file(tmp_path: Path) -> None:
    base, log = artefact(tmp_path / "tiny", enabled=(1.0, 1.0, 1.0)), table(tmp_path / "log.tsv", 20)
    call = ["train", "follow", "--data", str(log), "--artefact", str(base), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(build(), call)
    assert isinstance(found.exception, ConfigurationError)
    with pytest.raises(ConfigurationError, match="leave it out"):
        raise found.exception

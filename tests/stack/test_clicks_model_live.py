"""A model of clicks alone, from the table to a Triton that its own canary calls well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from stack.addresses import free_address
from stack.probe import infers
from stack.triton import ensure_exported
from tests.conftest import ProcessFactory, SettingsFactory
from training.clicks import ClicksRecipe, train_clicks
from training.demo_recommender import Recipe

pytestmark = pytest.mark.stack


def test_a_model_of_clicks_alone_is_served_and_called_well(
    tmp_path: Path, make_settings: SettingsFactory, start_triton: ProcessFactory
) -> None:
    starts = np.random.default_rng(1).integers(0, 20, 60)
    rows = [f"{n}\ti{(start + step) % 20}\t{n * 100 + step}" for n, start in enumerate(starts) for step in range(4)]
    table = tmp_path / "clicks.tsv"
    table.write_text("\n".join(["SessionId\tItemId\tTime", *rows]) + "\n")
    recipe = ClicksRecipe(dim=16, recommender=Recipe(epochs=1, targets=64, modality_dropout=0.0))
    train_clicks(table, tmp_path / "artefact", recipe, lambda _name, _steps: lambda: None)
    settings = make_settings(
        model={"path": tmp_path / "artefact"},
        stack={"var": tmp_path / "var"},
        triton={"grpc_address": free_address(), "metrics_address": free_address()},
        monitoring={"model_metrics_address": free_address()},
    )
    start_triton(settings)
    assert asyncio.run(infers(settings.triton.grpc_address, ensure_exported(settings)))

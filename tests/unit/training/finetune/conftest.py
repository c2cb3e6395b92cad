"""The tiny towers and their catalogue, once a session."""

from __future__ import annotations

import pytest

from tests.unit.training.finetune import tiny
from training.finetune.data import Items
from training.finetune.run import Bases


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return tiny.write_towers(tmp_path_factory.mktemp("towers"))


@pytest.fixture(scope="session")
def items() -> Items:
    return tiny.written_items()

"""One training at a time in a folder of checkpoints."""

from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from training.folders import alone_in


def test_a_second_training_in_the_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with alone_in(tmp_path / "run"):
        with pytest.raises(ConfigurationError, match="another training is at work there"), alone_in(tmp_path / "run"):
            pass
        with alone_in(tmp_path / "run", writes=False), alone_in(tmp_path / "other"):
            pass
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "run"):
        _ = 1 / 0
    with alone_in(tmp_path / "run"):
        pass

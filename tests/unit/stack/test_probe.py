"""The containers' checks: an encoder that hangs is found though every check is a process of its own."""

import os
import time
from pathlib import Path

from stack.probe import _hangs


def test_an_encoder_is_given_a_minute_over_checks_and_the_minute_begins_anew_with_an_answer(tmp_path: Path) -> None:
    late = tmp_path / "late"
    assert not _hangs(late, is_late=True)
    assert not _hangs(late, is_late=True)
    os.utime(late, (time.time() - 61, time.time() - 61))
    assert _hangs(late, is_late=True)
    assert not _hangs(late, is_late=False)
    assert not _hangs(late, is_late=True)

"""Two processes of torchrun, as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys

from contracts.settings import ROOT


def torchrun(*arguments: str) -> str:
    """What two processes with these arguments of torchrun printed; fails with the end of their errors."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

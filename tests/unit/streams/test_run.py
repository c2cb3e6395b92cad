"""A worker whose broker is gone waits for ever in Faust's shutdown; ours ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from contracts.settings import ROOT

# The shutdown that never comes back, as Faust's does without a broker, under the runner that is named.
_SCRIPT = """
import asyncio, signal, sys
import faust
from streams import run

run._STOP_PATIENCE_SECONDS = 0.3

class Stuck({base}):
    async def stop(self):
        await asyncio.sleep(3600)

async def main():
    loop = asyncio.get_running_loop()
    worker = Stuck(faust.App("stuck", web_enabled=False), loop=loop)
    worker._schedule_shutdown(signal.SIGTERM)
    await asyncio.sleep(2)
    sys.stdout.write("still here")
    sys.stdout.flush()
    import os
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize(("base", "code", "said"), [("run.Runner", 75, b""), ("faust.Worker", 0, b"still here")])
def test_a_stop_that_hangs_ends_the_process_and_fausts_own_does_not(base: str, code: int, said: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(base=base)], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (code, said), done.stderr.decode()[-2000:]

"""Health checks for containers, which end with 0 or 1: compose.yaml and deploy/kubernetes call them.

`python -m stack.probe http URL` asks a process; `python -m stack.probe triton HOST:PORT FOLDER` asks the inference
server something whose answer is known from the model's manifest in FOLDER.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

_SECONDS = 2.5
_ENCODER_SECONDS = 60.0
_LATE = Path(tempfile.gettempdir()) / "vitrine-encoder-late"


def answers(url: str) -> bool:
    """Whether the URL answers 200 in time."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 - the URL is the container's own
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def infers(address: str, folder: Path, late: Path = _LATE) -> bool:
    """Whether both models answer what they should.

    Args:
        address: `host:port` of the server.
        folder: of the exported models.
        late: file that is there while the encoder does not answer.
    """
    from stack.canary import Canary, KnownAnswer  # noqa: PLC0415 - the http probe needs no gRPC
    from streams.inference import InferenceClient  # noqa: PLC0415

    async with InferenceClient(address) as client:
        canary = Canary(client, KnownAnswer.read(folder), _SECONDS, _ENCODER_SECONDS)
        is_well = await canary.is_well()
    return is_well and not _hangs(late, is_late=canary.is_encoder_late)


def _hangs(late: Path, *, is_late: bool) -> bool:
    """Whether the encoder has not answered for a minute; it may be busy with a long batch for some time.

    Every check is a process of its own, so the time of the first one without an answer is kept.
    """
    if not is_late:
        late.unlink(missing_ok=True)
    elif not late.exists():
        late.touch()
    return is_late and time.time() - late.stat().st_mtime > _ENCODER_SECONDS


def main(arguments: list[str]) -> int:
    """0 when well, 1 when not, 2 when called wrongly."""
    match arguments:
        case ["http", url]:
            return 0 if answers(url) else 1
        case ["triton", address, folder]:
            return 0 if asyncio.run(infers(address, Path(folder))) else 1
        case _:
            sys.stderr.write("usage: python -m stack.probe http URL | triton HOST:PORT FOLDER\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Health checks for containers, which end with 0 or 1: compose.yaml and deploy/kubernetes call them.

`python -m stack.probe http URL` asks a process; `python -m stack.probe triton HOST:PORT FOLDER` asks the inference
server something whose answer is known from the model's manifest in FOLDER.
"""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from pathlib import Path

_SECONDS = 2.5


def answers(url: str) -> bool:
    """Whether the URL answers 200 in time."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 - the URL is the container's own
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def infers(address: str, folder: Path) -> bool:
    """Whether both models answer what they should."""
    from stack.canary import Canary, KnownAnswer  # noqa: PLC0415 - the http probe needs no gRPC
    from streams.inference import InferenceClient  # noqa: PLC0415

    async with InferenceClient(address) as client:
        return await Canary(client, KnownAnswer.read(folder), _SECONDS, encoder_deadline_s=60.0).is_well()


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

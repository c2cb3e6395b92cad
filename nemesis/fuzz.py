"""Coverage-guided fuzzing (libFuzzer through Atheris) of what the worker does with bytes from outside: decode, check, fold.

Whatever comes has to become an event or a `ContractError`; anything else that is raised, an input that takes five seconds, or
memory beyond 2 GB ends the run as a crash with the input in a file. Atheris sees the branches of our Python, not those inside
msgspec's C.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.errors import VitrineError
from contracts.settings import ROOT
from nemesis.mutation import SEEDS, TOKENS, mutated

GOLDEN = ROOT / "tests" / "golden"
_MUTANTS = 200
_CRASHED = 77
_LIMITS = ("-timeout=5", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1")


class FuzzError(VitrineError):
    """The fuzzer found a crash, or could not run."""


@dataclass(frozen=True)
class Fuzzed:
    """Outcome: inputs tried, what they became by code (`event` for good ones), and events that were folded."""

    runs: int
    corpus: int
    outcomes: dict[str, int]
    longest_state_bytes: int

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": True}


def corpus(folder: Path, seed: int) -> int:
    """Fill a folder with good events, mutants of them, and the payloads of other systems that the tests keep; how many."""
    rng = random.Random(seed)
    inputs = [*SEEDS, *(mutated(rng, rng.choice(SEEDS)) for _ in range(_MUTANTS))]
    inputs += [file.read_bytes() for file in sorted(GOLDEN.rglob("*.json"))]
    for number, data in enumerate(inputs):
        (folder / f"{number:04d}").write_bytes(data)
    words = ["".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if len(token) < 64]
    (folder.parent / "words.dict").write_text("".join(f'"{word}"\n' for word in words))
    return len(inputs)


def fuzz(count: int, seed: int, found: Path) -> Fuzzed:
    """Try so many inputs in a process of its own; inputs that crash are written into `found`.

    Raises:
        FuzzError: a crash, with the end of what the fuzzer said; or Atheris is not installed.
    """
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vitrine-fuzz-") as name:
        folder, result = Path(name, "corpus"), Path(name, "result.json")
        folder.mkdir()
        size = corpus(folder, seed)
        arguments = [f"-runs={count}", f"-seed={seed}", f"-dict={folder.parent / 'words.dict'}", f"-artifact_prefix={found}/"]
        command = [sys.executable, "-m", "nemesis.fuzz", str(count), str(result), str(found), str(folder), *arguments, *_LIMITS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not result.exists():
            message = f"the fuzzer ended with {done.returncode}; inputs that crash are in {found}:\n{done.stderr[-3000:]}"
            raise FuzzError(message)
        return Fuzzed(corpus=size, **json.loads(result.read_text()))


class _Target:
    """What is called with every input.

    Args:
        count: after so many the result is written.
        result: where to.
        found: folder for an input that raises.
    """

    def __init__(self, count: int, result: Path, found: Path) -> None:
        self._count, self._result, self._found = count, result, found
        self._outcomes: Counter[str] = Counter()
        self._state: Any = None
        self._longest = 0

    def __call__(self, data: bytes) -> None:
        try:
            self._handle(data)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            # Atheris would hand it to libFuzzer, which takes minutes to end a process that it cannot symbolise.
            (self._found / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            traceback.print_exc()
            os._exit(_CRASHED)
        if self._outcomes.total() == self._count:
            told = {"runs": self._count, "outcomes": dict(self._outcomes), "longest_state_bytes": self._longest}
            self._result.write_text(json.dumps(told))

    def _handle(self, data: bytes) -> None:
        from contracts.errors import ContractError  # noqa: PLC0415 - Atheris instruments what is imported in `main`
        from contracts.events import decode_event  # noqa: PLC0415
        from contracts.settings import SessionSettings  # noqa: PLC0415
        from streams.sessions import advance, decode_state, encode_state  # noqa: PLC0415

        try:
            event = decode_event(data)
        except ContractError as error:
            self._outcomes[error.code] += 1
            return
        self._outcomes["event"] += 1
        self._state = advance(self._state, event, 0, self._outcomes.total(), SessionSettings()).state
        stored = encode_state(self._state)
        self._longest = max(self._longest, len(stored))
        if decode_state(stored) != self._state:
            message = "the state is not what its bytes say"
            raise AssertionError(message)


def main() -> None:
    """`python -m nemesis.fuzz COUNT RESULT FOUND CORPUS [libFuzzer's arguments]`; does not return."""
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - for development only

    count, result, found = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with atheris.instrument_imports(include=["contracts", "streams"]):
        import contracts.events  # noqa: F401, PLC0415
        import streams.sessions  # noqa: F401, PLC0415
    one = _Target(count, result, found)
    atheris.Setup([sys.argv[0], *sys.argv[4:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Coverage-guided fuzzing (libFuzzer through Atheris) of what the worker does with bytes from outside: decode, check, fold.

Whatever comes has to become an event or a `ContractError`; anything else that is raised, an input that takes five seconds, or
memory beyond 2 GB ends the run as a crash with the input in a file. Atheris sees the branches of our Python, not those inside
msgspec's C.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.errors import VitrineError
from contracts.settings import ROOT
from nemesis.mutation import SEEDS, TOKENS, mutated

GOLDEN = ROOT / "tests" / "golden"
_MUTANTS = 200
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
        command = [sys.executable, "-m", "nemesis.fuzz", str(count), str(result), str(folder), *arguments, *_LIMITS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not result.exists():
            message = f"the fuzzer ended with {done.returncode}; inputs that crash are in {found}:\n{done.stderr[-3000:]}"
            raise FuzzError(message)
        return Fuzzed(corpus=size, **json.loads(result.read_text()))


def _target(count: int, result: Path) -> Callable[[bytes], None]:
    """What is called with every input; after `count` of them the result is written."""
    from contracts.errors import ContractError  # noqa: PLC0415 - imported while Atheris instruments
    from contracts.events import decode_event  # noqa: PLC0415
    from contracts.settings import SessionSettings  # noqa: PLC0415
    from streams.sessions import SessionState, advance, decode_state, encode_state  # noqa: PLC0415

    outcomes: Counter[str] = Counter()
    settings = SessionSettings()
    state: SessionState | None = None
    longest = 0

    def one(data: bytes) -> None:
        nonlocal state, longest
        try:
            event = decode_event(data)
        except ContractError as error:
            outcomes[error.code] += 1
        else:
            outcomes["event"] += 1
            state = advance(state, event, 0, outcomes.total(), settings).state
            stored = encode_state(state)
            longest = max(longest, len(stored))
            if decode_state(stored) != state:
                message = "the state is not what its bytes say"
                raise AssertionError(message)
        if outcomes.total() == count:
            told = {"runs": count, "outcomes": dict(outcomes), "longest_state_bytes": longest}
            result.write_text(json.dumps(told))

    return one


def main() -> None:
    """`python -m nemesis.fuzz COUNT RESULT CORPUS [libFuzzer's arguments]`; does not return."""
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - for development only

    count, result = int(sys.argv[1]), Path(sys.argv[2])
    with atheris.instrument_imports(include=["contracts", "streams"]):
        one = _target(count, result)
    atheris.Setup([sys.argv[0], *sys.argv[3:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

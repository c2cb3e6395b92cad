"""The tutorial's commands, run as they stand against a stack of its own, print what the tutorial says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.settings import ROOT, Settings
from stack import control
from stack.addresses import free_address, free_port
from stack.environment import child_environment, overridden

pytestmark = pytest.mark.stack

TUTORIAL = ROOT / "docs" / "tutorial.md"
ANYTHING = "…"
_BLOCK = re.compile(r"^```(?P<kind>shell|text)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = "=== step "


@dataclass(frozen=True)
class Step:
    """Commands of one fenced block, and what the block after them says that they print."""

    commands: str
    printed: tuple[str, ...]


def read_steps(text: str) -> list[Step]:
    """The steps of a Markdown text, in order."""
    steps: list[Step] = []
    for block in _BLOCK.finditer(text):
        if block["kind"] == "shell":
            steps.append(Step(block["body"], ()))
        else:
            steps[-1] = Step(steps[-1].commands, tuple(block["body"].splitlines()))
    return steps


def missing(printed: tuple[str, ...], output: str) -> str | None:
    """The first promised line that the output does not have, in order; spaces are loose, `…` is anything."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for line in printed:
        parts = (re.escape(part.strip()) for part in " ".join(line.split()).split(ANYTHING))
        pattern = re.compile(".*".join(parts))
        if not any(pattern.search(found) for found in lines):
            return line
    return None


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Settings]:
    """Settings on free ports; the tutorial itself starts and stops the stack."""
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": free_address(), "partitions": 2},
        "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
        "worker": {"metrics_address": free_address()},
        "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
        "gateway": {"port": free_port()},
        "stack": {"var": tmp_path / "var", "controller_port": free_port(), "heap": "256m", "prometheus": False},
    }
    settings = overridden(Settings(), groups)
    yield settings
    control.stop(settings)


def localised(text: str, settings: Settings, folder: Path) -> str:
    """The text with the default addresses replaced by those of the settings."""
    default = Settings()
    places = {
        f"127.0.0.1:{default.gateway.port}": f"127.0.0.1:{settings.gateway.port}",
        default.kafka.bootstrap_servers: settings.kafka.bootstrap_servers,
        default.triton.grpc_address: settings.triton.grpc_address,
        "/tmp/": f"{folder}/",
    }
    for old, new in places.items():
        assert old in text, f"the tutorial does not name {old}"
        text = text.replace(old, new)
    return text


def run(steps: list[Step], settings: Settings) -> list[str]:
    """What each step prints; all are one shell, as they are for the reader, and it ends at the first that fails."""
    script = "set -e\n" + "".join(f"echo '{_MARK}{number}'\n{step.commands}" for number, step in enumerate(steps))
    outside = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS")  # of the `make test` around us
    environment = {name: value for name, value in child_environment(settings, COLUMNS="160").items() if name not in outside}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return re.split(rf"{_MARK}\d+\n", done.stdout)[1:]  # not at a line's start: JSON ends without a line break


def test_every_command_of_the_tutorial_prints_what_it_says(own_stack: Settings, tmp_path: Path) -> None:
    steps = read_steps(localised(TUTORIAL.read_text(), own_stack, tmp_path))
    assert len(steps) > 8
    outputs = run(steps, own_stack)
    assert len(outputs) == len(steps)
    wrong = [
        f"{line!r} is not printed by\n{step.commands}\nbut\n{output}"
        for step, output in zip(steps, outputs, strict=True)
        if (line := missing(step.printed, output)) is not None
    ]
    assert not wrong, "\n".join(wrong)
    assert not control.status(own_stack).up


def test_a_promised_line_that_is_not_printed_or_comes_in_another_order_is_found() -> None:
    assert missing(("a … c", "d"), "x\na  b c\nd\n") is None
    assert missing(("a … c", "d"), "d\na b c\n") == "d"
    assert missing(("a.c",), "abc") == "a.c"

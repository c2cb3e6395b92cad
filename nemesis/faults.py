"""Harm to processes: kill -9 and SIGSTOP. Each fault proves that it happened and says whose health must turn bad."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from nemesis.lab import Lab
from nemesis.workload import Traffic

Inflict = Callable[[Lab, Traffic, random.Random], str]


@dataclass(frozen=True)
class Fault:
    """One kind of harm.

    Attributes:
        name: in the report.
        inflict: does it and undoes it where it can be undone; returns evidence that it happened, empty for none.
        victim: supervised process whose health must turn bad within 5 s; None where nothing should.
    """

    name: str
    inflict: Inflict
    victim: str | None = None


def kill(name: str) -> Inflict:
    """SIGKILL a supervised process and wait for its successor."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        before = lab.pid(name)
        if before is None:
            return ""
        os.kill(before, signal.SIGKILL)
        lab.wait(f"{name} has another pid", lambda: lab.pid(name) not in (before, None), 60)
        return f"pid {before} became {lab.pid(name)}"

    return inflict


def paused(pid: int, seconds: float) -> str:
    """SIGSTOP, wait, SIGCONT; evidence from the kernel's word on the process's state."""
    process = psutil.Process(pid)
    process.suspend()
    deadline = time.monotonic() + seconds
    was_stopped = False
    while time.monotonic() < deadline and process.is_running():
        was_stopped = was_stopped or process.status() == psutil.STATUS_STOPPED
        time.sleep(0.02)
    is_left = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    if is_left:
        process.resume()
    after = "went on" if is_left else "had been replaced by then"
    return f"pid {pid} was stopped for {seconds} s and {after}" if was_stopped else ""


def pause(name: str, seconds: float) -> Inflict:
    """SIGSTOP a supervised process for a time."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        pid = lab.pid(name)
        if pid is None:
            return ""
        return paused(pid, seconds)

    return inflict


def kill_stub(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
    """SIGKILL the ranker's Python stub; Triton goes on calling itself ready."""
    stub, server = lab.stub_pid(), lab.pid("triton")
    if stub is None:
        return ""
    os.kill(stub, signal.SIGKILL)
    lab.wait("triton was replaced", lambda: lab.pid("triton") not in (server, None), 30)
    return f"stub {stub} killed, triton {server} became {lab.pid('triton')}"


def pause_stub(seconds: float) -> Inflict:
    """SIGSTOP the ranker's Python stub: the server lives on, and only a question with a known answer tells."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        stub = lab.stub_pid()
        return paused(stub, seconds) if stub is not None else ""

    return inflict

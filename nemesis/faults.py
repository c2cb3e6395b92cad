"""The faults: each harms a real process, proves that it happened, and says whose health must turn bad."""

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


@dataclass(frozen=True)
class Fault:
    """One kind of harm.

    Attributes:
        name: in the report.
        inflict: does it and undoes it where it can be undone; returns evidence that it happened, empty for none.
        victim: supervised process whose health must turn bad within 5 s; None where nothing should.
    """

    name: str
    inflict: Callable[[Lab, Traffic, random.Random], str]
    victim: str | None = None


def _kill(name: str) -> Callable[[Lab, Traffic, random.Random], str]:
    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        before = lab.pid(name)
        if before is None:
            return ""
        os.kill(before, signal.SIGKILL)
        lab.wait(f"{name} has another pid", lambda: lab.pid(name) not in (before, None), 60)
        return f"pid {before} became {lab.pid(name)}"

    return inflict


def _pause(name: str, seconds: float) -> Callable[[Lab, Traffic, random.Random], str]:
    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        pid = lab.pid(name)
        if pid is None:
            return ""
        process = psutil.Process(pid)
        process.suspend()
        stopped = process.status()
        time.sleep(seconds)
        if process.is_running():
            process.resume()
        return f"pid {pid} was {stopped} for {seconds} s" if stopped == psutil.STATUS_STOPPED else ""

    return inflict


def _kill_stub(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
    stub, server = lab.stub_pid(), lab.pid("triton")
    if stub is None:
        return ""
    os.kill(stub, signal.SIGKILL)
    lab.wait("triton was replaced", lambda: lab.pid("triton") not in (server, None), 30)
    return f"stub {stub} killed, triton {server} became {lab.pid('triton')}"


def _slow(seconds: float, duration: float) -> Callable[[Lab, Traffic, random.Random], str]:
    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        before = lab.proxy.passed_bytes
        lab.proxy.toxics.delay_seconds = seconds
        time.sleep(duration)
        lab.proxy.toxics.delay_seconds = 0.0
        passed = lab.proxy.passed_bytes - before
        return f"{passed} bytes passed with {seconds * 1000:.0f} ms" if passed else ""

    return inflict


def _cut(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
    lab.proxy.toxics.is_cut = True
    before = lab.proxy.passed_bytes
    time.sleep(3.0)
    quiet = lab.proxy.passed_bytes == before
    lab.proxy.toxics.is_cut = False
    return "nothing passed for 3 s" if quiet else ""


def _reset(lab: Lab, _traffic: Traffic, rng: random.Random) -> str:
    before = lab.proxy.resets
    for _ in range(5):
        lab.proxy.reset()
        time.sleep(rng.uniform(0.1, 0.5))
    return f"{lab.proxy.resets - before} connections reset" if lab.proxy.resets > before else ""


def _slice(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
    lab.proxy.toxics.slice_bytes = 64
    before = lab.proxy.passed_bytes
    time.sleep(3.0)
    lab.proxy.toxics.slice_bytes = 0
    passed = lab.proxy.passed_bytes - before
    return f"{passed} bytes in slices of 64" if passed else ""


def _burst(_lab: Lab, traffic: Traffic, _rng: random.Random) -> str:
    before, calm = traffic.sent, traffic.rate
    traffic.rate = calm * 10
    time.sleep(5.0)
    traffic.rate = calm
    return f"{traffic.sent - before} events in 5 s"


FAULTS: tuple[Fault, ...] = (
    Fault("kill -9 worker-0", _kill("worker-0"), "worker-0"),
    Fault("kill -9 worker-1", _kill("worker-1"), "worker-1"),
    Fault("kill -9 triton", _kill("triton"), "triton"),
    Fault("kill -9 stub of page_ranker", _kill_stub, "triton"),
    Fault("kill -9 broker", _kill("kafka"), "kafka"),
    Fault("pause worker-0 for 1 s", _pause("worker-0", 1.0)),
    Fault("pause worker-0 for 10 s, longer than its session", _pause("worker-0", 10.0), "worker-0"),
    Fault("pause triton for 1 s", _pause("triton", 1.0)),
    Fault("pause broker for 1 s", _pause("kafka", 1.0)),
    Fault("ranker slow by 50 ms", _slow(0.05, 4.0)),
    Fault("ranker slow by 500 ms", _slow(0.5, 4.0)),
    Fault("ranker connection cut for 3 s", _cut),
    Fault("ranker connections reset", _reset),
    Fault("ranker bytes in slices", _slice),
    Fault("10x burst for 5 s", _burst),
)

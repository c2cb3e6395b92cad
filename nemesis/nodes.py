"""Harm to one of three brokers: kill -9, SIGSTOP, a full disk."""

from __future__ import annotations

import os
import random
import signal
import time

from nemesis.faults import Inflict, paused
from nemesis.lab import Lab
from nemesis.workload import Traffic


def kill_node(lab: Lab, _traffic: Traffic, rng: random.Random) -> str:
    """SIGKILL one node, which leads a third of the partitions; start it again after some seconds."""
    if lab.cluster is None:
        return ""
    node = rng.choice(lab.cluster.nodes)
    before = node.pid
    os.kill(before, signal.SIGKILL)
    time.sleep(rng.uniform(1.0, 6.0))
    lab.cluster.revive(node)
    return f"node {node.number}: pid {before} became {node.pid}"


def pause_node(seconds: float) -> Inflict:
    """SIGSTOP one node."""

    def inflict(lab: Lab, _traffic: Traffic, rng: random.Random) -> str:
        if lab.cluster is None:
            return ""
        node = rng.choice(lab.cluster.nodes)
        return f"node {node.number}: {evidence}" if (evidence := paused(node.pid, seconds)) else ""

    return inflict


def fill_disk(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
    """Fill the small disk of the last node until it gives up; then make room and start it again."""
    if lab.cluster is None or not lab.cluster.has_small_disk:
        return ""
    node = lab.cluster.nodes[-1]
    ballast = node.folder / "data" / "ballast"
    written = 0
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                written += file.write(bytes(65_536))
    except OSError:
        pass  # no space left: that is the fault
    before = node.pid
    deadline = time.monotonic() + 20.0
    while node.child.is_alive and time.monotonic() < deadline:
        time.sleep(0.1)
    ended = "ended by itself" if not node.child.is_alive else "went on"
    ballast.unlink()
    lab.cluster.revive(node)
    return f"node {node.number}: {written} bytes filled its disk, pid {before} {ended} and became {node.pid}"

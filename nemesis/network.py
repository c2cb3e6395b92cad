"""Harm to connections: delay, cut, reset and slices, through the proxies before Triton and before the brokers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from nemesis.faults import Inflict
from nemesis.lab import Lab
from nemesis.proxy import Proxy
from nemesis.workload import Traffic

Pick = Callable[[Lab], Sequence[Proxy]]


def ranker(lab: Lab) -> Sequence[Proxy]:
    """Between workers and Triton."""
    return (lab.proxy,)


def brokers(lab: Lab) -> Sequence[Proxy]:
    """Between the brokers and workers, Triton and gateway."""
    return tuple(node.proxy for node in lab.cluster.nodes) if lab.cluster is not None else ()


def _passed(proxies: Sequence[Proxy]) -> int:
    return sum(proxy.passed_bytes for proxy in proxies)


def delay(pick: Pick, seconds: float, duration: float) -> Inflict:
    """Every chunk comes later."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        proxies, before = pick(lab), _passed(pick(lab))
        for proxy in proxies:
            proxy.toxics.delay_seconds = seconds
        time.sleep(duration)
        for proxy in proxies:
            proxy.toxics.delay_seconds = 0.0
        passed = _passed(proxies) - before
        return f"{passed} bytes passed with {seconds * 1000:.0f} ms" if passed else ""

    return inflict


def cut(pick: Pick, duration: float) -> Inflict:
    """Connections stay open and nothing passes."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        proxies = pick(lab)
        for proxy in proxies:
            proxy.toxics.is_cut = True
        time.sleep(0.1)  # a chunk that was being written may still pass
        before = _passed(proxies)
        time.sleep(duration)
        is_quiet = bool(proxies) and _passed(proxies) == before
        for proxy in proxies:
            proxy.toxics.is_cut = False
        return f"nothing passed for {duration} s" if is_quiet else ""

    return inflict


def reset(pick: Pick) -> Inflict:
    """Open connections end with a TCP reset, five times."""

    def inflict(lab: Lab, _traffic: Traffic, rng: random.Random) -> str:
        proxies = pick(lab)
        before = sum(proxy.resets for proxy in proxies)
        for _ in range(5):
            for proxy in proxies:
                proxy.reset()
            time.sleep(rng.uniform(0.1, 0.5))
        resets = sum(proxy.resets for proxy in proxies) - before
        return f"{resets} connections reset" if resets else ""

    return inflict


def slices(pick: Pick, size: int, duration: float) -> Inflict:
    """Bytes come in small pieces."""

    def inflict(lab: Lab, _traffic: Traffic, _rng: random.Random) -> str:
        proxies, before = pick(lab), _passed(pick(lab))
        for proxy in proxies:
            proxy.toxics.slice_bytes = size
        time.sleep(duration)
        for proxy in proxies:
            proxy.toxics.slice_bytes = 0
        passed = _passed(proxies) - before
        return f"{passed} bytes in slices of {size}" if passed else ""

    return inflict

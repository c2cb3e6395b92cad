"""Harm that comes in with the data: bursts, poison, a shop whose clock steps, another catalogue while visitors look."""

from __future__ import annotations

import random
import time

from contracts.topics import ITEM_EMBEDDINGS
from nemesis.faults import Inflict
from nemesis.lab import Lab
from nemesis.topic import read_topic
from nemesis.workload import ITEMS, Traffic, publish_items


def burst(factor: float, duration: float) -> Inflict:
    """More events a second for a while."""

    def inflict(_lab: Lab, traffic: Traffic, _rng: random.Random) -> str:
        before, calm = traffic.sent, traffic.rate
        traffic.rate = calm * factor
        time.sleep(duration)
        traffic.rate = calm
        sent = traffic.sent - before
        return f"{sent} events in {duration} s" if sent > 2 * calm * duration else ""

    return inflict


def poison(share: float, duration: float) -> Inflict:
    """Values that are no events, many of them."""

    def inflict(_lab: Lab, traffic: Traffic, _rng: random.Random) -> str:
        before, usual = traffic.poisoned, traffic.poison
        traffic.poison = share
        time.sleep(duration)
        traffic.poison = usual
        sent = traffic.poisoned - before
        return f"{sent} poisoned values in {duration} s" if sent > share * traffic.rate * duration / 2 else ""

    return inflict


def clock_step(step_seconds: float, duration: float) -> Inflict:
    """The shop's clock steps and comes back; the machine's own clock is left alone, others live by it."""

    def inflict(_lab: Lab, traffic: Traffic, _rng: random.Random) -> str:
        before = traffic.sent
        traffic.clock_offset_seconds = step_seconds
        time.sleep(duration)
        traffic.clock_offset_seconds = 0.0
        return f"{traffic.sent - before} events with a clock off by {step_seconds:+.0f} s"

    return inflict


def swap_catalogue(lab: Lab, _traffic: Traffic, rng: random.Random) -> str:
    """Every product published again at another price, while visitors look.

    The vectors stay: a session's state is made from the vectors of its moment, so another geometry would make the final
    sessions depend on timing, and there would be nothing to compare them with.
    """
    before = len(read_topic(lab.settings.kafka, ITEM_EMBEDDINGS))
    publish_items(lab.settings, price=rng.uniform(5.0, 50.0))
    added = len(read_topic(lab.settings.kafka, ITEM_EMBEDDINGS)) - before
    return f"{added} product records" if added > 0 and added <= ITEMS else ""

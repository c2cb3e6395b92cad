"""What one event costs the session encoder: a step of the served graphs, beside encoding the whole session again.

The step takes the state after any number of events and one new event; its time must not depend on that number. The
re-encoding runs the training form of the same weights over all events. Both answer with the same query vector.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusion import artefact as artefacts
from fusion.session import SessionEncoder
from triton_models.onnx_session import Graph

LENGTHS = (5, 20, 50, 100, 200, 500)
Floats = NDArray[np.float32]


class Streamed:
    """A session that is fed event by event, as the ranker does it; keeps state [1, S] and ring [1, W, D]."""

    def __init__(self, exported: Path, encoder: SessionEncoder) -> None:
        config = encoder.config
        self._step, self._query = Graph(exported / "step.onnx"), Graph(exported / "query.onnx")
        self.state: Floats = np.zeros((1, config.state_width), np.float32)
        self.ring: Floats = np.zeros((1, config.ring, config.dim), np.float32)
        self.mask: Floats = np.zeros((1, config.ring), np.float32)

    def step(self, x: Floats, kind: int) -> Floats:
        """Advance by one event with item vector x [D]; the query [D]."""
        feeds: dict[str, NDArray[Any]] = {
            "state": self.state,
            "ring_x": self.ring,
            "x": x[None],
            "kind": np.array([kind], np.int64),
        }
        self.state = self._step(feeds)[0]
        self.ring = np.concatenate((x[None, None], self.ring[:, :-1]), axis=1)
        self.mask = np.concatenate((np.ones((1, 1), np.float32), self.mask[:, :-1]), axis=1)
        query: Floats = self._query({"state": self.state, "ring_x": self.ring, "ring_mask": self.mask})[0][0]
        return query


def encoded_whole(encoder: SessionEncoder, x: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """The query [D] of a session from all of its events x [T, D], without a state kept from before.

    One pass of the recurrent layer over the session and one weighted sum per decay: the cheapest way to encode it again.
    """
    config, length = encoder.config, len(x)
    embedded = x * config.input_scale + encoder.kind(kinds)
    _, h = encoder.gru(embedded[None])
    powers = torch.sigmoid(encoder.decay)[:, None] ** torch.arange(length - 1, -1, -1.0)
    sums = powers @ embedded
    state = torch.cat((h[0, 0], sums[0], sums[1], powers.sum(1)))
    ring = torch.zeros(config.ring, config.dim)
    newest = x[-config.ring :].flip(0)
    ring[: len(newest)] = newest
    mask = (torch.arange(config.ring) < length).float()
    return encoder.query(state[None], ring[None], mask[None])[0][0]


def _microseconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of one call."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter_ns()
        action()
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) / 1000


def measure(artefact: Path, exported: Path, repeats: int = 200) -> dict[str, Any]:
    """Time per event by session length, and the largest difference between stepping and re-encoding.

    Args:
        artefact: the trained model, for the training form.
        exported: the same model's graphs, as Triton serves them.
        repeats: calls per figure.

    Returns:
        Microseconds by length, `step_slope` (time at 500 events over time at 5, minus 1), `max_difference` of the unit query
        vectors over all prefixes.
    """
    torch.set_num_threads(1)
    encoder = artefacts.load(artefact).session.eval()
    config, longest = encoder.config, max(LENGTHS)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((longest, config.dim)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kinds = rng.integers(1, config.kinds, longest)
    session = Streamed(exported, encoder)
    streamed: list[Floats] = []
    at_length: dict[int, Streamed] = {}
    for number in range(longest):
        streamed.append(session.step(x[number], int(kinds[number])))
        if number + 1 in LENGTHS:
            at_length[number + 1] = copy(session)  # a step replaces its arrays and changes none of them
    all_x, all_kinds = torch.from_numpy(x), torch.from_numpy(kinds)
    steps: dict[str, float] = {}
    again: dict[str, float] = {}
    differences: list[float] = []
    with torch.inference_mode():
        whole = encoder(all_x[None], all_kinds[None])[0][0].numpy()
        for length, held in at_length.items():
            # The state moves on by the repeated events: what is timed never looks at how many came before.
            steps[str(length)] = _microseconds(partial(held.step, x[0], 1), repeats)
            part = partial(encoded_whole, encoder, all_x[:length], all_kinds[:length])
            differences.append(float(np.abs(part().numpy() - streamed[length - 1]).max()))
            again[str(length)] = _microseconds(part, max(repeats // 4, 5))
    differences.append(float(np.abs(np.stack(streamed) - whole).max()))
    first, last = str(min(LENGTHS)), str(longest)
    return {
        "step_us": {name: round(value, 1) for name, value in steps.items()},
        "reencode_us": {name: round(value, 1) for name, value in again.items()},
        "step_slope": round(steps[last] / steps[first] - 1, 3),
        "reencode_over_step_at_50": round(again["50"] / steps["50"], 2),
        "max_difference": max(differences) / config.tau,
        "state_bytes": config.state_width * 4,
    }

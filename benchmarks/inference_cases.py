"""What the networks are fed with in the inference benchmark: the demo shop's texts, and sessions over its learnt vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference_variants import Arrays, Run, of_torch
from contracts.catalog import embedding_text
from fusion.artefact import Artefact
from fusion.text import load_tokenizer
from shop.catalog import catalog
from triton_models.export import GRAPHS
from triton_models.export import Graph as Exported

TOP = 20
SESSIONS = 256
CLICKS = 6
CANDIDATES = 96
TOKENS = 64


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        name: for people.
        exported: as `triton_models.export` has it.
        feeds: at least 33 rows of real inputs.
        best: the best `TOP` of every row, by the network run in a given way.
        is_large: takes milliseconds a row: timed for a fifth of the rounds.
    """

    name: str
    exported: Exported
    feeds: Arrays
    best: Callable[[Run], NDArray[np.int64]]
    is_large: bool = False


def cases(artefact: Artefact, texts: int) -> list[Case]:
    """The four networks of a page and of an item's text."""
    rng = np.random.default_rng(4)
    vectors = artefact.vectors / np.maximum(np.linalg.norm(artefact.vectors, axis=1, keepdims=True), 1e-9)
    vectors = vectors.astype(np.float32)
    return [_text(artefact, texts), *_session(artefact, vectors, rng), _rank(artefact, rng)]


def _best(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def _text(artefact: Artefact, count: int) -> Case:
    """Titles and descriptions of the demo shop, each padded as serving pads the longest; neighbours among one another."""
    encoded = load_tokenizer(artefact.text_encoder)(
        [embedding_text(item) for item in catalog(Path("/"))[::14][:count]],
        padding="max_length",
        truncation=True,
        max_length=TOKENS,
    )
    feeds = {name: np.array(encoded[name], np.int64) for name in ("input_ids", "attention_mask")}

    def best(run: Run) -> NDArray[np.int64]:
        parts = [
            run({name: array[start : start + 8] for name, array in feeds.items()})[0]
            for start in range(0, len(feeds["input_ids"]), 8)
        ]
        raw = np.concatenate(parts)
        raw /= np.linalg.norm(raw, axis=1, keepdims=True)
        return _best(raw @ raw.T)

    return Case("text tower", GRAPHS["text"](artefact), feeds, best, is_large=True)


def _session(artefact: Artefact, vectors: NDArray[np.float32], rng: np.random.Generator) -> list[Case]:
    """Sessions of clicks on items that lie together; the best items of the query after the last click."""
    step, query = GRAPHS["step"](artefact), GRAPHS["query"](artefact)
    anchors = rng.integers(0, len(vectors), SESSIONS)
    near = np.argsort(-(vectors[anchors] @ vectors.T), axis=1)[:, :40]
    clicks = np.take_along_axis(near, rng.integers(0, 40, (SESSIONS, CLICKS)), axis=1)
    sizes = artefact.session_config
    ring = np.zeros((SESSIONS, sizes.ring, sizes.dim), np.float32)
    ring[:, :CLICKS] = vectors[clicks[:, ::-1]]
    mask = np.zeros((SESSIONS, sizes.ring), np.float32)
    mask[:, :CLICKS] = 1

    def states(run: Run) -> NDArray[np.float32]:
        state = np.zeros((SESSIONS, sizes.state_width), np.float32)
        for place in range(CLICKS):
            state = run(_step_feeds(state, ring, vectors[clicks[:, place]]))[0]
        return state

    plain = _eager(step)
    known = states(plain)
    step_feeds = _step_feeds(known, ring, vectors[clicks[:, 0]])
    query_feeds = {"state": known, "ring_x": ring, "ring_mask": mask}

    def best_of_step(run: Run) -> NDArray[np.int64]:
        return _best(_eager(query)({**query_feeds, "state": states(run)})[0] @ vectors.T)

    def best_of_query(run: Run) -> NDArray[np.int64]:
        return _best(run(query_feeds)[0] @ vectors.T)

    return [
        Case("session step", step, step_feeds, best_of_step),
        Case("session query", query, query_feeds, best_of_query),
    ]


def _step_feeds(state: NDArray[np.float32], ring: NDArray[np.float32], x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return {"state": state, "ring_x": ring, "x": x, "kind": np.ones(len(state), np.int64)}


def _eager(exported: Exported) -> Run:
    return of_torch(exported.module.eval(), tuple(exported.inputs))


def _rank(artefact: Artefact, rng: np.random.Generator) -> Case:
    """Feature rows of 96 candidates a session, drawn around what the scorer was trained on; order within the session."""
    mean, scale = artefact.scorer.mean.numpy(), artefact.scorer.scale.numpy()
    drawn = rng.standard_normal((SESSIONS * CANDIDATES, artefact.scorer_config.features))
    features = (mean + scale * drawn).astype(np.float32)

    def best(run: Run) -> NDArray[np.int64]:
        return _best(run({"features": features})[0].reshape(SESSIONS, CANDIDATES))

    return Case("ranker (one candidate a row)", GRAPHS["rank"](artefact), {"features": features}, best)

"""`page_ranker` without Triton: arrays in, arrays out, see `contracts.tensors`.

Every number of a row is computed in a way that does not depend on the other rows, bit for bit, so that a page made again
after a crash in another batch is the same page. Shapes: B rows, E events, W ring, X exclusions, K answers, S state, D width,
N candidates, F features.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import TensorMismatch
from contracts.tensors import MAX_ANSWERS, MAX_BATCH, PAGE_RANKER_INPUTS, Candidate, Context, Effort, Info
from fusion.features import SessionRows, candidate_features
from triton_models.artefact import Manifest, read_manifest
from triton_models.candidates import Candidates, Collector, reduced, session_seed
from triton_models.index import Floats, Ints, Kind, create_index
from triton_models.items import START, LiveItems
from triton_models.onnx_session import Graph

Arrays = Mapping[str, NDArray[Any]]
CHUNK = 16  # sessions whose candidates are described at once
NEW_PLACES = (7, 27, 47)  # where new items stand among the answers of a known session: one in twenty


@dataclass(frozen=True)
class Sessions:
    """Sessions after their new events.

    Attributes:
        state: [B, S].
        ring: int64 [B, W] rows, newest first, -1 where empty.
        query: [B, D], times tau.
        pointer: [B, W], added to the logits of the ring's items.
    """

    state: Floats
    ring: Ints
    query: Floats
    pointer: Floats

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[B] whether a session has touched anything that we know."""
        return np.asarray((self.ring >= 0).any(axis=1))


class PageRanker:
    """Steps sessions, finds candidates among the live items, and ranks them.

    Args:
        items: the live catalogue; read under its lock.
        folder: exported model.
    """

    def __init__(self, items: LiveItems, folder: Path) -> None:
        self.manifest: Manifest = read_manifest(folder)
        self.items = items
        self._step = Graph(folder / "step.onnx")
        self._query = Graph(folder / "query.onnx")
        self._rank = Graph(folder / "rank.onnx")
        self._collector = Collector(items)

    @classmethod
    def open(cls, folder: Path, index: Kind = "exact") -> PageRanker:
        """A ranker over an empty catalogue.

        Raises:
            ConfigurationError: if a file of the model is missing or wrong.
        """
        dim = read_manifest(folder).dim
        return cls(LiveItems(dim, create_index(index, dim, START)), folder)

    def warm(self, batches: range = range(1, MAX_BATCH + 1)) -> None:
        """Run every batch size once, so that no visitor waits for the first allocation."""
        for batch in batches:
            self.rank(probe(batch))

    def rank(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """One micro-batch.

        Raises:
            TensorMismatch: an input is missing, of another type or shape than declared, or the rows differ in number.
        """
        check(inputs)
        clock = [time.perf_counter_ns()]
        with self.items.lock:
            sessions = self._advance(inputs)
            clock.append(time.perf_counter_ns())
            candidates = self._collect(sessions, inputs)
            if (inputs["context"][:, Context.EFFORT] == Effort.REDUCED).all():
                candidates = reduced(candidates)
            clock.append(time.perf_counter_ns())
            answers = self._answer(sessions, candidates)
            clock.append(time.perf_counter_ns())
            info = np.zeros(len(Info), np.int64)
            info[Info.MODEL_VERSION] = self.manifest.version
            info[Info.INDEX_VERSION] = self.items.version
            info[Info.INDEX_SIZE] = self.items.eligible_count
            info[Info.STATE_WIDTH] = self.manifest.state_width
        timing = (np.diff(clock) / 1000.0).astype(np.float32)
        return {"state": sessions.state, **answers, "info": info, "timing": timing}

    def _advance(self, inputs: Arrays) -> Sessions:
        """Apply the new events, oldest first; items that are not in the catalogue are passed over."""
        batch, width = len(inputs["state"]), self.manifest.state_width
        state = inputs["state"] if inputs["state"].shape[1] == width else np.zeros((batch, width), np.float32)
        state = np.array(state, np.float32)
        ring = _compact(self.items.rows_of(inputs["ring"])[:, : self.manifest.ring])
        events = self.items.rows_of(inputs["events"])
        vectors = self.items.columns.table.fused
        for place in range(events.shape[1]):
            rows = np.flatnonzero(events[:, place] >= 0)
            if not len(rows):
                continue
            touched = events[rows, place]
            feeds = {
                "state": state[rows],
                "ring_x": _vectors(vectors, ring[rows]),
                "x": vectors[touched],
                "kind": inputs["kinds"][rows, place].astype(np.int64),
            }
            state[rows] = self._step(feeds)[0]
            ring[rows] = np.concatenate((touched[:, None], ring[rows, :-1]), axis=1)
        mask = (ring >= 0).astype(np.float32)
        query, pointer = self._query({"state": state, "ring_x": _vectors(vectors, ring), "ring_mask": mask})
        return Sessions(state, ring, query, pointer)

    def _collect(self, sessions: Sessions, inputs: Arrays) -> Candidates:
        context = inputs["context"]
        views = [self.items.view(int(row[Context.TENANT_KEY]), int(row[Context.CATEGORY_KEY])) for row in context]
        # A product's page does not recommend the product.
        hidden = self.items.rows_of(np.concatenate((inputs["exclude"], context[:, Context.ANCHOR_ITEM, None]), axis=1))
        excluded = [row[row >= 0] for row in hidden]
        keys = np.where(sessions.ring >= 0, self.items.columns.keys[sessions.ring], 0)
        seeds = [session_seed(state, ring) for state, ring in zip(sessions.state, keys, strict=True)]
        return self._collector.collect(sessions.query, sessions.is_known, sessions.ring, views, excluded, seeds)

    def _answer(self, sessions: Sessions, candidates: Candidates) -> dict[str, NDArray[Any]]:
        batch, width = candidates.rows.shape
        features = np.concatenate(
            [self._features(sessions, candidates, slice(row, row + CHUNK)) for row in range(0, batch, CHUNK)]
        )
        scores = self._rank({"features": features.reshape(batch * width, -1)})[0].reshape(batch, width)
        places = order(scores, self.items.columns.ties[candidates.rows], candidates, sessions.is_known)
        best = np.take_along_axis(candidates.rows, places, axis=1)
        is_there = np.arange(places.shape[1]) < candidates.counts[:, None]
        logits = np.take_along_axis(features[..., 0], places, axis=1)
        return {
            "items": np.where(is_there, self.items.columns.keys[best], 0),
            "scores": np.where(is_there, np.take_along_axis(scores, places, axis=1), np.float32(0)),
            "shares": np.where(is_there[..., None], self._shares(sessions.query, best, logits), np.float32(0)),
            "sources": np.where(is_there, np.take_along_axis(candidates.sources, places, axis=1), np.int32(0)),
        }

    def _features(self, sessions: Sessions, candidates: Candidates, rows: slice) -> Floats:
        """[b, N, F] of a few sessions at a time: more would only leave the caches."""
        part = SessionRows(
            sessions.query[rows], sessions.pointer[rows], sessions.ring[rows], np.ascontiguousarray(sessions.state[rows, -1])
        )
        return candidate_features(part, self.items.columns.table, candidates.rows[rows])

    def _shares(self, query: Floats, best: Ints, logits: Floats) -> Floats:
        """[B, K, 3] parts of text, image, behaviour in the match; where nothing matches, in the item itself."""
        weights = self.items.columns.weights[best]
        parts = np.empty_like(weights)
        for column, vectors in enumerate((self.items.columns.table.text, self.items.columns.table.image)):
            parts[..., column] = weights[..., column] * np.matmul(vectors[best], query[:, :, None])[..., 0]
        parts[..., 2] = np.where(weights[..., 2] > 0, logits - parts[..., 0] - parts[..., 1], 0)
        np.maximum(parts, 0, out=parts)
        # Sums of three numbers written out: their order is the same in any batch.
        total = (parts[..., 0] + parts[..., 1] + parts[..., 2])[..., None]
        whole = np.maximum((weights[..., 0] + weights[..., 1] + weights[..., 2])[..., None], np.float32(1e-12))
        shares: Floats = np.where(total > 1e-6, parts / np.maximum(total, np.float32(1e-6)), weights / whole)
        return shares


def order(scores: Floats, ties: Ints, candidates: Candidates, is_known: NDArray[np.bool_]) -> Ints:
    """Places [B, K] of the answers among the candidates [B, N].

    Known sessions: by score, equal ones by tie breaker, new items at `NEW_PLACES` unless their score brings them further
    up. Others: in the order of the candidates, which spreads the departments.
    """
    bits = scores.view(np.int32).astype(np.int64)  # scores are not negative: their bits order like numbers
    width = np.arange(scores.shape[1])
    ranks = np.where(is_known[:, None], (-bits << np.int64(31)) | ties, width)
    ranks[width >= candidates.counts[:, None]] = np.iinfo(np.int64).max
    places = np.argsort(ranks, axis=1)
    new = candidates.sources == Candidate.EXPLORATION
    for row in np.flatnonzero(new.any(axis=1)).tolist():
        places[row] = _with_new(places[row], new[row], int(candidates.counts[row]))
    return places[:, :MAX_ANSWERS]


def _with_new(places: Ints, is_new: NDArray[np.bool_], count: int) -> Ints:
    """Move new items up to `NEW_PLACES`, in their own order."""
    line = places[:count].tolist()
    for place, candidate in zip(NEW_PLACES, [place for place in line if is_new[place]], strict=False):
        if line.index(candidate) > place:
            line.remove(candidate)
            line.insert(place, candidate)
    return np.concatenate((np.array(line, np.int64), places[count:]))


def _compact(rows: Ints) -> Ints:
    """Known rows first, in their order; a ring that was streamed then equals one that was replayed."""
    if (rows[:, :-1] >= rows[:, 1:]).all() and not (rows[:, :-1] < 0).any():
        return rows
    return np.take_along_axis(rows, np.argsort(rows < 0, axis=1, kind="stable"), axis=1)


def _vectors(vectors: Floats, rows: Ints) -> Floats:
    """[B, W, D] vectors of rows [B, W], zeros for -1."""
    return np.where((rows >= 0)[:, :, None], vectors[rows], np.float32(0))


def check(inputs: Arrays) -> None:
    """Compare the inputs with their declaration.

    Raises:
        TensorMismatch: one is missing, has another type or shape, another number of rows, or more rows than allowed.
    """
    for spec in PAGE_RANKER_INPUTS:
        if spec.name not in inputs:
            message = f"tensor {spec.name}: missing, expected {spec.dtype}{list(spec.shape)}"
            raise TensorMismatch(message, path=spec.name)
        spec.check(inputs[spec.name])
    rows = {spec.name: len(inputs[spec.name]) for spec in PAGE_RANKER_INPUTS}
    if len(set(rows.values())) > 1 or not 1 <= rows["state"] <= MAX_BATCH:
        message = f"rows of the tensors: got {rows}, expected the same number, 1 to {MAX_BATCH}, in all"
        raise TensorMismatch(message, path="state")
    if inputs["kinds"].shape != inputs["events"].shape:
        message = (
            f"tensor kinds: got {list(inputs['kinds'].shape)}, expected the shape of events {list(inputs['events'].shape)}"
        )
        raise TensorMismatch(message, path="kinds")


def probe(batch: int) -> dict[str, NDArray[Any]]:
    """Inputs of `batch` new visitors of no tenant: what a canary sends."""
    return {
        spec.name: np.zeros([batch, *(max(size, 1) for size in spec.shape[1:])], spec.numpy_dtype())
        for spec in PAGE_RANKER_INPUTS
    }

"""`page_ranker` without Triton: arrays in, arrays out, see `contracts.tensors`.

Every number of a row is computed in a way that does not depend on the other rows, bit for bit, so that a page made again
after a crash in another batch is the same page. Shapes: B rows, E events, W ring, X exclusions, K answers, S state, D width,
N candidates, F features.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import TensorMismatch
from contracts.keys import tenant_key
from contracts.tensors import MAX_ANSWERS, MAX_BATCH, PAGE_RANKER_INPUTS, Candidate, Context, Effort, Info
from fusion import blend_file
from fusion.blend import Blend
from triton_models.artefact import Manifest, read_manifest
from triton_models.blended_ranking import BlendedRanking
from triton_models.candidates import session_seed
from triton_models.fused_ranking import FusedRanking
from triton_models.index import Floats, Ints, Kind, create_index
from triton_models.items import START, LiveItems
from triton_models.learning import Learning, LearningRules
from triton_models.onnx_session import Graph
from triton_models.ranking import Pages, Ranked, Ranking, Sessions, merged

Arrays = Mapping[str, NDArray[Any]]
NEW_PLACES = (7, 27, 47)  # where new items stand among the answers of a known session: one in twenty


class PageRanker:
    """Steps sessions, finds candidates among the live items, and ranks them.

    Args:
        items: the live catalogue; read under its lock.
        folder: exported model.
        learning: what the stream has taught; read under its lock.
        blend: scores the candidates in place of the model's click ranker.
    """

    def __init__(self, items: LiveItems, folder: Path, learning: Learning | None = None, blend: Blend | None = None) -> None:
        self.manifest: Manifest = read_manifest(folder)
        self.items = items
        self.learning = learning or Learning()
        self._step = Graph(folder / "step.onnx")
        self._query = Graph(folder / "query.onnx")
        self._fused = FusedRanking(items, folder, self.learning)
        self._blended = BlendedRanking(items, blend, self.learning) if blend is not None else None

    @classmethod
    def open(cls, folder: Path, index: Kind = "exact", most_sessions: int = 100_000) -> PageRanker:
        """A ranker over an empty catalogue, which knows what the model brings of its training log.

        Args:
            folder: exported model.
            index: which search.
            most_sessions: of a shop that are learned from.

        Raises:
            ConfigurationError: if a file of the model is missing or wrong.
        """
        dim = read_manifest(folder).dim
        items, brought = LiveItems(dim, create_index(index, dim, START)), blend_file.load(folder)
        if brought is None:
            return cls(items, folder, Learning(LearningRules(most=most_sessions)))
        learning = Learning(LearningRules(brought.neighbours, brought.windows, most_sessions))
        learning.bring(tenant_key(brought.tenant), partial(brought.learned, most_sessions))
        return cls(items, folder, learning, brought.blend)

    @property
    def is_blended(self) -> bool:
        """Whether a blend scores the candidates."""
        return self._blended is not None

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
        with self.items.lock, self.learning.lock:
            sessions = self._advance(inputs)
            clock.append(time.perf_counter_ns())
            found = self._ranked(sessions, self._pages(sessions, inputs))
            clock.append(time.perf_counter_ns())
            answers = self._answer(sessions, found)
            clock.append(time.perf_counter_ns())
            info = np.zeros(len(Info), np.int64)
            info[Info.MODEL_VERSION] = self.manifest.version
            info[Info.INDEX_VERSION] = self.items.version
            info[Info.INDEX_SIZE] = self.items.eligible_count
            info[Info.STATE_WIDTH] = self.manifest.state_width
            info[Info.LEARNED_VERSION] = self.learning.version
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

    def _pages(self, sessions: Sessions, inputs: Arrays) -> Pages:
        context = inputs["context"]
        tenants = context[:, Context.TENANT_KEY].tolist()
        views = [self.items.view(tenant, int(row[Context.CATEGORY_KEY])) for tenant, row in zip(tenants, context, strict=True)]
        # A product's page does not recommend the product.
        hidden = self.items.rows_of(np.concatenate((inputs["exclude"], context[:, Context.ANCHOR_ITEM, None]), axis=1))
        excluded = [row[row >= 0] for row in hidden]
        keys = np.where(sessions.ring >= 0, self.items.columns.keys[sessions.ring], 0)
        seeds = [session_seed(state, ring) for state, ring in zip(sessions.state, keys, strict=True)]
        return Pages(tenants, views, excluded, seeds, bool((context[:, Context.EFFORT] == Effort.REDUCED).all()))

    def _ranked(self, sessions: Sessions, pages: Pages) -> Ranked:
        """Scored candidates; a blend scores those that have touched something, the others get what is popular."""
        if self._blended is None:
            return self._fused.rank(sessions, pages)
        known, others = np.flatnonzero(sessions.is_known), np.flatnonzero(~sessions.is_known)
        parts: tuple[tuple[Ints, Ranking], ...] = ((known, self._blended), (others, self._fused))
        return merged(
            len(sessions.state),
            [(rows, ranking.rank(sessions.pick(rows), pages.pick(rows))) for rows, ranking in parts if len(rows)],
        )

    def _answer(self, sessions: Sessions, found: Ranked) -> dict[str, NDArray[Any]]:
        places = order(found, self.items.columns.ties[found.rows], sessions.is_known)
        best, is_there = np.take_along_axis(found.rows, places, axis=1), np.take_along_axis(found.is_there, places, axis=1)
        logits = np.take_along_axis(found.logits, places, axis=1)
        return {
            "items": np.where(is_there, self.items.columns.keys[best], 0),
            "scores": np.where(is_there, np.take_along_axis(found.scores, places, axis=1), np.float32(0)),
            "shares": np.where(is_there[..., None], self._shares(sessions.query, best, logits), np.float32(0)),
            "sources": np.where(is_there, np.take_along_axis(found.sources, places, axis=1), np.int32(0)),
            "voices": np.where(is_there[..., None], np.take_along_axis(found.voices, places[..., None], axis=1), np.float32(0)),
        }

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


def order(found: Ranked, ties: Ints, is_known: NDArray[np.bool_]) -> Ints:
    """Places [B, K] of the answers among the candidates [B, N].

    Known sessions: by score, equal ones by tie breaker, new items at `NEW_PLACES` unless their score brings them further
    up. Others: in the order of the candidates, which spreads the departments.
    """
    bits = found.scores.view(np.int32).astype(np.int64)  # scores are not negative: their bits order like numbers
    ranks = np.where(is_known[:, None], (-bits << np.int64(31)) | ties, np.arange(found.scores.shape[1]))
    ranks[~found.is_there] = np.iinfo(np.int64).max
    places = np.argsort(ranks, axis=1)
    new = (found.sources == Candidate.EXPLORATION) & found.is_there
    for row in np.flatnonzero(new.any(axis=1)).tolist():
        places[row] = _with_new(places[row], new[row], int(found.is_there[row].sum()))
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

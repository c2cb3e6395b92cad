"""What the ranker has learned from the stream, for all shops: one thread applies it in steps, the model asks under a lock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from contracts.keys import tenant_key
from contracts.sessions import SessionSoFar
from fusion.learned import WINDOWS, Heard, Learned
from fusion.neighbours import NeighbourSettings
from triton_models.index import Floats, Ints

_LOG = logging.getLogger(__name__)
MAX_SHOPS = 256
_VERSION_BITS = 53  # a page is read by JavaScript too


class Lesson(NamedTuple):
    """One record of `shop.sessions.v1`: its place, the session's key, and the session so far, None to forget it."""

    offset: int
    key: bytes
    session: SessionSoFar | None


@dataclass(frozen=True)
class LearningRules:
    """How a shop's stream is learned from.

    Attributes:
        neighbours: how sessions vote.
        windows: of the trend counters, clicks of the shop.
        most: sessions of a shop that are kept.
    """

    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    windows: tuple[float, ...] = WINDOWS
    most: int = 100_000


class Learning:
    """A `Learned` for each shop, and one number for all that has been applied.

    The number is a hash of the places of all records applied so far, in their order: two rankers with the same number have
    learned the same. It is 0 until the first record.

    Args:
        rules: for every shop.
    """

    def __init__(self, rules: LearningRules | None = None) -> None:
        self.lock = threading.Lock()
        self.version = 0
        self._rules = rules or LearningRules()
        self._shops: dict[int, Learned] = {}
        self._brought: dict[int, Callable[[], Learned]] = {}

    def new_shop(self) -> Learned:
        """One that knows nothing, by the rules."""
        return Learned(self._rules.neighbours, self._rules.windows, self._rules.most)

    def bring(self, tenant: int, make: Callable[[], Learned]) -> None:
        """Begin with what a shop's training log taught; `tenant` is a tenant key."""
        self._brought[tenant] = make
        learned = make()
        with self.lock:
            self._shops[tenant] = learned

    def apply(self, lessons: Sequence[Lesson]) -> None:
        """Learn a step; searches wait meanwhile, so a step has at most some hundred records."""
        with self.lock:
            for lesson in lessons:
                self._learn(lesson)
                self.version = (self.version * 1_000_003 + lesson.offset + 1) % 2**_VERSION_BITS
            for learned in self._shops.values():
                learned.trend()  # made anew here, not by the first who asks

    def _learn(self, lesson: Lesson) -> None:
        if lesson.session is None:
            for learned in self._shops.values():
                learned.forget(lesson.key)
            return
        tenant = tenant_key(lesson.session.tenant_id)
        found = self._shops.get(tenant)
        if found is None:
            if len(self._shops) >= MAX_SHOPS:
                _LOG.warning("more shops than are learned from", extra={"limit": MAX_SHOPS})
                return
            found = self._shops[tenant] = self.new_shop()
        found.upsert(lesson.key, lesson.session.items, lesson.session.touched)

    def clear(self) -> None:
        """Forget what the stream taught, and begin again with what came with the model."""
        shops = {tenant: make() for tenant, make in self._brought.items()}
        with self.lock:
            self._shops = shops
            self.version = 0

    def of(self, tenant: int) -> Learned | None:
        """What was learned of a shop; read it under the lock."""
        return self._shops.get(tenant)

    @property
    def sessions(self) -> int:
        """Sessions of all shops."""
        return sum(len(learned) for learned in self._shops.values())

    def hear(
        self, tenants: Sequence[int], prefix: Ints, proposed: Ints, top: int, top_pairs: int, *, with_pairs: bool = True
    ) -> Heard:
        """`Learned.hear` for sessions of several shops, each asked of its own; call it under the lock.

        Args:
            tenants: tenant keys of N sessions.
            prefix: int64 [N, T] item keys, newest last, padded in front with 0.
            proposed: int64 [N, P] distinct item keys, 0 where empty.
            top: most items of the neighbours.
            top_pairs: most items of the co-visits.
            with_pairs: False passes over the co-visits.
        """
        groups: dict[int, list[int]] = {}
        for row, tenant in enumerate(tenants):
            groups.setdefault(tenant, []).append(row)
        if len(groups) == 1:
            return self._shop(tenants[0]).hear(prefix, proposed, top, top_pairs, with_pairs=with_pairs)
        heard = [
            (np.array(rows), self._shop(tenant).hear(prefix[rows], proposed[rows], top, top_pairs, with_pairs=with_pairs))
            for tenant, rows in groups.items()
        ]
        order = np.argsort(np.concatenate([rows for rows, _ in heard]))
        said = zip(*(part.said for _, part in heard), strict=True)
        return Heard(
            np.concatenate([part.keys for _, part in heard])[order],
            type(heard[0][1].said)(*(np.concatenate(parts)[order] for parts in said)),
            np.concatenate([part.trend for _, part in heard])[order],
        )

    def _shop(self, tenant: int) -> Learned:
        return self._shops.get(tenant) or self.new_shop()


def prefix_keys(ring: Ints, keys: Ints) -> Ints:
    """Item keys [B, W], newest last, of rings of rows [B, W], newest first; 0 where empty."""
    return np.ascontiguousarray(np.where(ring >= 0, keys[np.maximum(ring, 0)], 0)[:, ::-1])


def evidence(heard: Heard, place: slice) -> Floats:
    """How much the neighbours' votes speak for items, 0–1: the share of the votes, less where few sessions voted."""
    said = heard.said
    share = said.votes[:, place] / np.maximum(said.total, np.float32(1e-6))[:, None]
    return np.asarray(share * (said.voters / (said.voters + np.float32(3.0)))[:, None], np.float32)


def warm() -> None:
    """Compile what learning and look-ups need, or load it from the cache: seconds that no visitor should wait for."""
    learned = Learned()
    learned.upsert(b"", (1, 2), 2)
    learned.upsert(b"", (1, 2, 3), 3)
    learned.neighbours.compact()
    learned.hear(np.array([[0, 1]]), np.array([[2, 0]]), 1, 1)

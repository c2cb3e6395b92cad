"""What visitors touched after what, as far as this worker has seen: the recommender of a page without the ranker."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

MOST_ITEMS = 20_000
MOST_FOLLOWERS = 20
_KEPT = 0.95  # of each older count when a new one comes: about the last twenty decide
_LOOK_BACK = 5


class CoVisits:
    """Decayed counts of (item, item touched next) within sessions, bounded in memory: at most about 40 MB.

    Item keys hash the tenant too and a session is of one tenant, so no shop sees another's pairs.
    """

    def __init__(self, most_items: int = MOST_ITEMS, most_followers: int = MOST_FOLLOWERS) -> None:
        self._most_items = most_items
        self._most_followers = most_followers
        self._followers: OrderedDict[int, dict[int, float]] = OrderedDict()

    def __len__(self) -> int:
        """Items that something is known of."""
        return len(self._followers)

    def learn(self, touched: Sequence[int]) -> None:
        """Count what followed what in item keys that were touched one after the other, oldest first."""
        for item, follower in pairwise(touched):
            if item != follower:
                self._count(item, follower)

    def _count(self, item: int, follower: int) -> None:
        counts = self._followers.setdefault(item, {})
        self._followers.move_to_end(item)
        for known in counts:
            counts[known] *= _KEPT
        counts[follower] = counts.get(follower, 0.0) + 1.0
        if len(counts) > self._most_followers:
            del counts[min(counts, key=lambda known: (counts[known], known))]
        if len(self._followers) > self._most_items:
            self._followers.popitem(last=False)

    def of(self, touched: Iterable[int]) -> list[int]:
        """Item keys that followed the newest of `touched` (newest first), the likeliest first."""
        scores: dict[int, float] = defaultdict(float)
        for back, item in enumerate(touched):
            if back == _LOOK_BACK:
                break
            counts = self._followers.get(item, {})
            whole = sum(counts.values()) * (1 + back)
            for follower, count in counts.items():
                scores[follower] += count / whole
        return sorted(scores, key=lambda follower: (-scores[follower], follower))

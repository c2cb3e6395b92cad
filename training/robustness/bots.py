"""A simple bot filter for a log without times: sessions longer than people's, or that hardly repeat but one item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.sessions.data import Ints


@dataclass(frozen=True)
class BotFilter:
    """What no person does.

    Attributes:
        longest: clicks of a session that are still believed.
        repeat: share of one item among the clicks of a session of `repeat_from` clicks or more that is not believed.
        repeat_from: shorter sessions may repeat as they like.
    """

    longest: int
    repeat: float = 0.45
    repeat_from: int = 12

    @classmethod
    def learn(cls, sessions: Sequence[Ints], share: float = 0.75) -> BotFilter:
        """Limits from a log that may hold bots: ten times what `share` of the sessions stay within, 30 clicks at least.

        A quantile in the middle of the log does not move when some per cent of it are bots; its maximum does.
        """
        lengths = np.array([len(session) for session in sessions])
        return cls(max(30, int(10 * np.quantile(lengths, share))))

    def is_bot(self, session: Ints) -> bool:
        """Whether a session is left out."""
        if len(session) > self.longest:
            return True
        return len(session) >= self.repeat_from and np.unique(session, return_counts=True)[1].max() >= self.repeat * len(
            session
        )

    def without_bots(self, sessions: Sequence[Ints]) -> list[Ints]:
        """The sessions that are believed, in their order."""
        return [session for session in sessions if not self.is_bot(session)]

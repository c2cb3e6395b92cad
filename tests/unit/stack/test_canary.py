import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.errors import DependencyError, RankerTimeout, RankerUnavailable
from stack.canary import Canary, KnownAnswer

KNOWN = KnownAnswer(version=3, dim=4, state_width=6, image_size=8)


def right(model: str) -> dict[str, Any]:
    if model == "item_encoder":
        return {"fused": np.array([[0.6, 0.8, 0, 0]], np.float32)}
    return {
        "info": np.array([3, 0, 0, 6], np.int64),
        "state": np.zeros((1, 6), np.float32),
        "items": np.zeros((1, 2), np.int64),
    }


class Server:
    """Answers as told per model; an error is raised."""

    def __init__(self, **answers: Callable[[], dict[str, Any]]) -> None:
        self.answers = answers

    async def infer(self, model: str, *_: Any, deadline_s: float) -> dict[str, Any]:
        assert deadline_s > 0
        return self.answers[model]() if model in self.answers else right(model)


def failing(error: DependencyError) -> Callable[[], dict[str, Any]]:
    def answer() -> dict[str, Any]:
        raise error

    return answer


def is_well(server: Server, encoder_deadline_s: float = 20.0, known: KnownAnswer = KNOWN) -> bool:
    canary = Canary(server, known, 0.3, encoder_deadline_s)  # type: ignore[arg-type]
    return asyncio.run(canary.is_well())


def test_right_answers_are_well() -> None:
    assert is_well(Server())


@pytest.mark.parametrize("model", ["page_ranker", "item_encoder"])
def test_a_dead_stub_behind_either_model_is_noticed(model: str) -> None:
    assert not is_well(Server(**{model: failing(RankerUnavailable("Stub process is not healthy"))}))


class Held(Server):
    """The page ranker's questions wait, each for a word of its own."""

    def __init__(self, **answers: Callable[[], dict[str, Any]]) -> None:
        super().__init__(**answers)
        self.words: list[asyncio.Event] = []

    async def infer(self, model: str, *_: Any, deadline_s: float) -> dict[str, Any]:
        if model == "page_ranker":
            self.words.append(asyncio.Event())
            await self.words[-1].wait()
        return await super().infer(model, deadline_s=deadline_s)


def late(server: Held, looks: int) -> list[bool]:
    """What a canary says at each look when every question is answered only after the look that asked it."""

    async def look() -> list[bool]:
        canary, said = Canary(server, KNOWN, 0.02, 20.0), []  # type: ignore[arg-type]
        for _ in range(looks):
            said.append(await canary.is_well())
            server.words[-1].set()
        return said

    return asyncio.run(look())


def test_a_ranker_that_is_late_and_gets_on_is_well_from_its_first_answer_on() -> None:
    assert late(Held(), 4) == [False, True, True, True]


def test_a_late_answer_that_is_wrong_is_a_miss() -> None:
    assert late(Held(page_ranker=failing(RankerUnavailable("Stub process is not healthy"))), 3) == [False] * 3


def test_a_ranker_that_hangs_is_never_well() -> None:
    async def look() -> list[bool]:
        canary = Canary(Held(), KNOWN, 0.02, 20.0)  # type: ignore[arg-type]
        return [await canary.is_well() for _ in range(3)]

    assert asyncio.run(look()) == [False] * 3


def test_a_ranker_that_is_late_is_a_miss_but_an_encoder_may_be_busy_with_a_batch() -> None:
    assert not is_well(Server(page_ranker=failing(RankerTimeout("late"))))
    assert is_well(Server(item_encoder=failing(RankerTimeout("late"))))
    assert not is_well(Server(item_encoder=failing(RankerTimeout("late"))), encoder_deadline_s=0.0)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("page_ranker", "info", np.array([2, 0, 0, 6], np.int64)),
        ("page_ranker", "state", np.zeros((1, 5), np.float32)),
        ("page_ranker", "state", np.full((1, 6), np.nan, np.float32)),
        ("page_ranker", "items", np.array([[7, 0]], np.int64)),
        ("item_encoder", "fused", np.zeros((1, 4), np.float32)),
        ("item_encoder", "fused", np.ones((1, 3), np.float32)),
    ],
)
def test_an_answer_that_is_wrong_in_any_part_is_a_miss(model: str, field: str, value: Any) -> None:
    assert not is_well(Server(**{model: lambda: {**right(model), field: value}}))


def test_a_model_of_clicks_alone_answers_a_text_with_zeros() -> None:
    by_behaviour = replace(KNOWN, has_text=False)
    assert is_well(Server(item_encoder=lambda: {"fused": np.zeros((1, 4), np.float32)}), known=by_behaviour)
    assert not is_well(Server(), known=by_behaviour)
    assert not is_well(Server(item_encoder=lambda: {"fused": np.zeros((1, 4), np.float32)}))

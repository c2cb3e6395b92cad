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
    """The questions to one model wait, each for a word of its own."""

    def __init__(self, held: str, **answers: Callable[[], dict[str, Any]]) -> None:
        super().__init__(**answers)
        self.held = held
        self.words: list[asyncio.Event] = []

    async def infer(self, model: str, *_: Any, deadline_s: float) -> dict[str, Any]:
        if model == self.held:
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
            await asyncio.sleep(0)
        return said

    return asyncio.run(look())


def test_a_ranker_that_is_late_and_gets_on_never_misses_twice_in_a_row() -> None:
    assert late(Held("page_ranker"), 6) == [False, True, False, True, False, True]


def test_a_late_answer_that_is_wrong_is_a_miss() -> None:
    dead = failing(RankerUnavailable("Stub process is not healthy"))
    assert late(Held("page_ranker", page_ranker=dead), 4) == [False] * 4


def test_a_ranker_that_hangs_is_never_well() -> None:
    async def look() -> list[bool]:
        canary = Canary(Held("page_ranker"), KNOWN, 0.02, 20.0)  # type: ignore[arg-type]
        return [await canary.is_well() for _ in range(3)]

    assert asyncio.run(look()) == [False] * 3


def test_an_encoder_may_be_busy_with_a_batch_until_a_question_is_given_up() -> None:
    async def look() -> list[bool]:
        server = Held("item_encoder", item_encoder=failing(RankerTimeout("not within 20 s")))
        canary, said = Canary(server, KNOWN, 0.02, 20.0), []  # type: ignore[arg-type]
        said += [await canary.is_well(), await canary.is_well()]
        assert canary.is_encoder_late
        server.words[0].set()  # given up
        said += [await canary.is_well(), await canary.is_well()]
        server.answers.clear()
        server.words[1].set()  # right at last
        said.append(await canary.is_well())
        return said

    assert asyncio.run(look()) == [True, True, False, False, True]


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

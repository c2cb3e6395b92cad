"""The served shop in one process: it ranks as the stack does, and what is changed is what was asked to change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contracts.tensors import EventKind
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH, ItemFacts
from shop.catalog import products
from shop.taste import shelf_of
from training.demo_clicks import Visit
from training.robustness import content_trial, stuffing_trial
from training.robustness.content_trial import Trial, chosen_rows
from training.robustness.served_shop import Floats, Served, ask

VIEW = int(EventKind.VIEW)


@pytest.fixture(scope="module")
def served() -> Served:
    torch.manual_seed(0)
    goods = products(per_kind=3)
    count, rng = len(goods), np.random.default_rng(1)
    sizes = FusionConfig(dim=16, text_width=8, image_width=8, image_size=16, image_channels=4)
    session = SessionConfig(dim=16, input_scale=4.0)
    made = artefacts.build("tiny", sizes, session, ScorerConfig(features=WIDTH))
    for network in (made.image, made.fusion, made.session, made.scorer):
        network.eval()
    shelf = shelf_of(goods)
    has = np.ones((count, 3), np.float32)
    has[shelf.is_new, 2] = 0.0
    return Served(
        artefact=made,
        shelf=shelf,
        texts=[f"Product {row}. Things" for row in range(count)],
        pixels=rng.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8),
        text=rng.normal(size=(count, 8)).astype(np.float32),
        image=rng.normal(size=(count, 8)).astype(np.float32),
        behaviour=rng.normal(size=(count, 16)).astype(np.float32),
        has=has,
        facts=[ItemFacts(1, 1, 1.0, float(row % 7), 0.0, 0.0) for row in range(count)],
    )


def visits(count: int) -> list[Visit]:
    rng = np.random.default_rng(2)
    return [[(int(item), VIEW) for item in rng.integers(0, 100, 5)] for _ in range(count)]


def encode(texts: object) -> Floats:
    return np.random.default_rng(3).normal(size=(len(texts), 8)).astype(np.float32)  # type: ignore[arg-type]


def test_pages_hold_no_product_twice_and_none_that_is_sold_out(served: Served) -> None:
    asked = ask(served, visits(8))
    assert len(asked.targets) == 8 * 4
    for page in asked.candidates:
        kept = page[page >= 0]
        assert len(set(kept.tolist())) == len(kept)
        assert served.shelf.is_open[kept].all()
    assert asked.ndcg(np.tile(asked.targets[:, None], (1, 10))) == pytest.approx(sum(1 / np.log2(np.arange(2, 12))))


def test_a_visit_s_answers_are_those_of_the_session_s_steps(served: Served) -> None:
    (visit,) = visits(1)
    fused = torch.from_numpy(served.table().fused)
    session, ring = served.artefact.session, torch.zeros(1, 10, 16)
    mask, state = torch.zeros(1, 10), served.artefact.session.initial_state(1)
    with torch.no_grad():
        for place, (item, kind) in enumerate(visit[:4]):
            state = session.step(state, fused[item : item + 1], torch.tensor([kind]))
            ring = torch.cat((fused[item].view(1, 1, 16), ring[:, :-1]), dim=1)
            mask[0, place] = 1.0
        query, pointer = session.query(state, ring, mask)
    scores = (query @ fused.T)[0].numpy()
    order = [item for item, _ in visit[:4]][::-1]
    for place, item in enumerate(order):
        if item not in order[:place]:
            scores[item] += float(pointer[0, place])
    scores[~served.shelf.is_open] = -np.inf
    asked = ask(served, [visit])
    target = visit[4][0]
    expected = 1 + (scores > scores[target]).sum() if np.isfinite(scores[target]) else None
    assert expected is None or asked.found[3] == expected


def test_content_that_is_gone_moves_the_changed_products_only(served: Served) -> None:
    rows = chosen_rows(served, 40, 0)
    assert len(rows) == 40
    assert set(np.flatnonzero(served.shelf.is_new)) <= set(rows.tolist())
    changed = content_trial.conditions(Trial(served, [], rows, encode))["text: none"]().table()
    before, others = served.table(), np.setdiff1d(np.arange(len(served.texts)), rows)
    assert np.allclose(changed.fused[others], before.fused[others], atol=1e-6)
    assert (np.abs(changed.fused[rows] - before.fused[rows]).max(axis=1) > 1e-4).all()
    assert (changed.text[rows] == 0).all()


def test_every_condition_is_measured_and_the_clean_one_first(served: Served) -> None:
    rows = content_trial.run(Trial(served, visits(6), chosen_rows(served, 30, 0), encode), lambda _: None)
    assert rows[0]["condition"] == "clean"
    assert len(rows) == 13
    assert len({row["ndcg@10"] for row in rows}) > 1  # something changed


def test_stuffing_is_measured_for_known_and_new_products_with_and_without_the_defence(served: Served) -> None:
    rich = replace(served, texts=[f"Product lamp{row} shiny. Things" for row in range(len(served.texts))])
    who = stuffing_trial.attackers(rich, 3, 0)
    assert (rich.has[who.known, 2] == 1).all()
    assert (rich.has[who.new, 2] == 0).all()
    rows = stuffing_trial.run(rich, visits(6), who, encode, lambda _: None)
    assert rows[0]["lift"] == {"known": 1.0, "new": 1.0} or rows[0]["share"] == {"known": 0.0, "new": 0.0}
    assert [row["defence"] for row in rows[1:]] == ["", "defended"] * 3

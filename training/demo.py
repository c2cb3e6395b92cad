"""`vitrine train demo`: from an untrained network to a served artefact, with what it gained, in minutes on two cores.

1. The shop is generated and its pictures are drawn.
2. Simulated shoppers look around on their own: training visits before new products arrive, test visits after.
3. The picture network learns from captions; fusion, behaviour vectors and session encoder learn the next item.
4. Other shoppers get pages of these models: the ranker learns what is clicked.
5. Everything is measured on shoppers that training did not see, before and after, and written as one artefact.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.errors import ConfigurationError
from contracts.settings import CatalogSettings
from fusion import artefact as artefacts
from fusion import checkpoint
from fusion.artefact import Artefact
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.features import WIDTH
from fusion.image import ImageEncoder
from fusion.scorer import Scorer, WeightedScorer
from fusion.vision import COMPACT
from shop.catalog import catalog, draw_pictures, products
from shop.shoppers import Shopper
from shop.taste import Shelf, shelf_of
from training.demo_baselines import co_visit_ranks, co_visits, count_views, popularity_ranks
from training.demo_clicks import Visit, browse
from training.demo_items import ItemInputs, read_items
from training.demo_metrics import recall_mrr
from training.demo_pages import (
    PLACES,
    Choice,
    Crowd,
    PageLog,
    by_popularity,
    by_query,
    by_scorer,
    explore,
    item_table,
    run_pages,
)
from training.demo_pictures import PictureRecipe, encode_pictures, train_pictures
from training.demo_ranker import RankerRecipe, judge_ranker, steps_of, train_ranker
from training.demo_recommender import Recipe, Recommender, target_ranks, train_recommender

Stage = Callable[[str, int], Callable[[], None]]  # name, steps -> tick
CROWD = 150
HEADS = ("click", "cart", "purchase")  # nobody measures how long a simulated shopper reads
PURCHASES = {"click": 0.2, "purchase": 1.0}  # objectives of the trial's last policy: a purchase counts five clicks
TRAIN_SEED, TEST_SEED, LOG_SEED, JUDGE_SEED, TRIAL_SEED = 1_000, 900_000, 300_000, 500_000, 700_000


@dataclass(frozen=True)
class DemoRecipe:
    """Sizes of the whole run."""

    dim: int = 64
    visits: int = 7000
    test_visits: int = 1000
    page_steps: int = 70
    judge_steps: int = 25
    pictures: PictureRecipe = field(default_factory=PictureRecipe)
    recommender: Recipe = field(default_factory=Recipe)
    ranker: RankerRecipe = field(default_factory=RankerRecipe)
    seed: int = 0
    text_encoder: str = "minilm"
    """As in the settings; its weights stay as they are."""
    image_encoder: str = COMPACT
    """As in the settings; a Hugging Face model's weights stay as they are, too."""


def train_demo(folder: Path, images: Path, recipe: DemoRecipe, stage: Stage) -> dict[str, Any]:
    """Train and save the demo artefact.

    Args:
        folder: where the artefact goes; an artefact there gives way to the next version.
        images: folder of the drawn pictures, under the project's `var`.
        recipe: sizes.
        stage: announces a stage and its number of steps, and gives the function to call after each.

    Returns:
        The metrics, as in the manifest.
    """
    began = time.perf_counter()
    torch.manual_seed(recipe.seed)
    goods = products()
    tick = stage("drawing pictures", len(goods))
    for _ in draw_pictures(goods, images):
        tick()
    shelf = shelf_of(goods)
    reading = stage("reading products", 3 * len(goods))
    inputs = read_items(catalog(images), recipe.text_encoder, CatalogSettings(), reading)
    visits = browse(shelf, recipe.visits, TRAIN_SEED, may_see_new=False, tick=stage("shoppers look around", recipe.visits))
    tests = browse(shelf, recipe.test_visits, TEST_SEED, may_see_new=True, tick=stage("test shoppers", recipe.test_visits))
    fusion = FusionConfig(dim=recipe.dim, text_width=inputs.text.shape[1])
    session = SessionConfig(dim=recipe.dim, input_scale=recipe.dim**0.5)
    made = artefacts.build("demo", fusion, session, ScorerConfig(features=WIDTH, heads=HEADS), recipe.image_encoder)
    made.text_encoder = recipe.text_encoder
    model, losses = _learn(made, inputs, shelf, visits, recipe, stage)
    metrics: dict[str, Any] = {"next_item": _judge(model, made, inputs, shelf, visits, tests), "losses": losses}
    metrics |= _rank(made, model, inputs, shelf, recipe, stage)
    metrics |= {
        "seed": recipe.seed,
        "minutes": round((time.perf_counter() - began) / 60, 2),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "products": len(goods),
        "visits": len(visits),
        "events": sum(len(visit) for visit in visits),
    }
    _save(made, model, inputs, folder, metrics)
    return metrics


def train_demo_ranker(folder: Path, images: Path, recipe: DemoRecipe, stage: Stage) -> dict[str, Any]:
    """Train the ranker of a demo artefact anew on pages that the artefact's own networks make, and save it as the next version.

    Args:
        folder: of the artefact.
        images: as in :func:`train_demo`.
        recipe: sizes; those of the networks are the artefact's.
        stage: as in :func:`train_demo`.

    Returns:
        The metrics, those of the other networks as they were.

    Raises:
        ConfigurationError: if there is no artefact, or its items are not those of this demo shop.
    """
    began = time.perf_counter()
    torch.manual_seed(recipe.seed)
    made = artefacts.load(folder)
    goods = products()
    tick = stage("drawing pictures", len(goods))
    for _ in draw_pictures(goods, images):
        tick()
    shelf = shelf_of(goods)
    reading = stage("reading products", 2 * len(goods))
    inputs = read_items(catalog(images), made.text_encoder, CatalogSettings(), reading, with_captions=False)
    model = _recommender(made, inputs, shelf)
    seen = ~shelf.is_new
    if not np.array_equal(made.keys, inputs.keys[seen]):
        message = (
            f"{folder}: its {len(made.keys)} items are not those of this demo shop; `vitrine train demo` trains everything"
        )
        raise ConfigurationError(message)
    with torch.no_grad():
        model.behaviour.weight[torch.from_numpy(seen)] = torch.from_numpy(made.vectors)
    made.scorer_config = ScorerConfig(features=WIDTH, heads=HEADS)
    made.scorer = Scorer(made.scorer_config)
    metrics = made.metrics | _rank(made, model.eval(), inputs, shelf, recipe, stage)
    metrics["ranker"] |= {"minutes": round((time.perf_counter() - began) / 60, 2), "seed": recipe.seed}
    _save(made, model, inputs, folder, metrics)
    return metrics


def _learn(
    made: Artefact, inputs: ItemInputs, shelf: Shelf, visits: list[Visit], recipe: DemoRecipe, stage: Stage
) -> tuple[Recommender, dict[str, list[float]]]:
    """Train pictures, fusion, behaviour and session encoder; new products take no part."""
    known = ~shelf.is_new
    losses: dict[str, list[float]] = {}
    if isinstance(made.image, ImageEncoder) and recipe.image_encoder == COMPACT:
        steps = recipe.pictures.epochs * (int(known.sum()) // recipe.pictures.batch)
        tick = stage("learning pictures", steps)
        losses["pictures"] = train_pictures(
            made.image, inputs.pixels[known], inputs.captions[known], recipe.pictures, lambda _: tick()
        )
    made.image.standardise(encode_pictures(made.image, inputs.pixels))
    model = _recommender(made, inputs, shelf)
    learning = stage("learning visits", 1000)
    done = 0

    def advance(share: float, _: float) -> None:
        nonlocal done
        while done < int(share * 1000):
            done += 1
            learning()

    losses["visits"] = train_recommender(model, visits, recipe.recommender, recipe.seed, advance)
    return model, losses


def _recommender(made: Artefact, inputs: ItemInputs, shelf: Shelf) -> Recommender:
    has = torch.ones(len(inputs.keys), 3)
    has[torch.from_numpy(shelf.is_new), 2] = 0.0
    return Recommender(
        made.fusion, made.session, torch.from_numpy(inputs.text), encode_pictures(made.image, inputs.pixels), has
    )


def _judge(
    model: Recommender, made: Artefact, inputs: ItemInputs, shelf: Shelf, visits: list[Visit], tests: list[Visit]
) -> dict[str, Any]:
    """Next-item measures of the trained model, of untrained networks and of two baselines."""
    torch.manual_seed(1)
    fresh = artefacts.build("fresh", made.fusion_config, made.session_config, made.scorer_config, made.image_encoder)
    untrained = _recommender(fresh, inputs, shelf)
    is_open, is_new = shelf.is_open, shelf.is_new
    counts = count_views(visits, len(inputs.keys))
    found, which = target_ranks(model, tests, is_open)
    cold = {}
    for name, has in {"text": (1, 0, 0), "image": (0, 1, 0), "text+image": (1, 1, 0)}.items():
        only = torch.tensor([has] * len(is_new), dtype=torch.float32)
        cold[name] = recall_mrr(target_ranks(model, tests, is_open & is_new, only)[0])
    chance = 20.0 / int((is_open & is_new).sum())
    return {
        "before": recall_mrr(target_ranks(untrained, tests, is_open)[0]),
        "popularity": recall_mrr(popularity_ranks(counts, tests)),
        "co_visits": recall_mrr(co_visit_ranks(co_visits(visits, len(counts)), counts, tests)),
        "after": recall_mrr(found),
        "after_known_items": recall_mrr(found[~is_new[which]]),
        "after_new_items": recall_mrr(found[is_new[which]]),
        "new_items_among_themselves": cold | {"chance_recall@20": chance, "items": int((is_open & is_new).sum())},
    }


def _crowd(model: Recommender, inputs: ItemInputs, shelf: Shelf, seed: int) -> Crowd:
    shoppers = [Shopper(f"c{seed + number}", shelf, seed + number) for number in range(CROWD)]
    return Crowd(model, item_table(model, inputs.facts), shelf, shoppers, seed)


def _rank(
    made: Artefact, model: Recommender, inputs: ItemInputs, shelf: Shelf, recipe: DemoRecipe, stage: Stage
) -> dict[str, Any]:
    """Train and judge the ranker, then let three kinds of pages compete for the same shoppers."""
    log = run_pages(
        _crowd(model, inputs, shelf, LOG_SEED), recipe.page_steps, explore, stage("shoppers get pages", recipe.page_steps)
    )
    unseen = run_pages(
        _crowd(model, inputs, shelf, JUDGE_SEED), recipe.judge_steps, explore, stage("test pages", recipe.judge_steps)
    )
    steps = steps_of(len(log.clicked), PLACES, recipe.ranker)
    tick = stage("learning clicks", steps)
    losses = train_ranker(made.scorer, log, recipe.ranker, recipe.seed, lambda _: tick())
    policies: dict[str, Choice] = {
        "popular": by_popularity,
        "query": by_query,
        "ranker": by_scorer(made.scorer),
        "ranker, purchases": by_scorer(WeightedScorer(made.scorer, PURCHASES)),
    }
    trial = {}
    for name, choose in policies.items():
        crowd = _crowd(model, inputs, shelf, TRIAL_SEED)
        trial[name] = _clicks(run_pages(crowd, recipe.judge_steps, choose, stage(f"trial: {name}", recipe.judge_steps)))
    return {
        "ranker": judge_ranker(made.scorer, unseen) | {"losses": losses, "training_pages": len(log.clicked)},
        "pages": trial,
    }


def _clicks(log: PageLog) -> dict[str, float]:
    """How often shoppers clicked on a page instead of looking elsewhere, and where."""
    rate = float(log.clicked.sum(axis=1).mean())
    later = {f"{name}_rate": float(labels.sum(axis=1).mean()) for name, labels in log.later.items()}
    return {"click_rate": rate, **later, "first_place_rate": float(log.clicked[:, 0].mean()), "pages": len(log.clicked)}


def _save(made: Artefact, model: Recommender, inputs: ItemInputs, folder: Path, metrics: dict[str, Any]) -> None:
    seen = model.has[:, 2].numpy() > 0
    made.keys = np.ascontiguousarray(inputs.keys[seen])
    made.vectors = np.ascontiguousarray(model.behaviour.weight.detach().numpy()[seen])
    made.metrics = metrics
    made.version = next_version(folder)
    artefacts.save(made, folder)


def next_version(folder: Path) -> int:
    """1, or one more than the artefact that is there."""
    if not (folder / checkpoint.MANIFEST).exists():
        return 1
    return int(checkpoint.load_manifest(folder)["version"]) + 1

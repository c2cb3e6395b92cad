"""From a finished training to what Triton serves: encoder, item vectors, blend, and what the log taught, in one artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.keys import item_key
from contracts.tensors import EventKind
from fusion import artefact as artefacts
from fusion.artefact import Artefact
from fusion.blend import Blend
from fusion.blend_file import of_log
from fusion.config import FusionConfig, ScorerConfig
from fusion.features import WIDTH
from training.clicks import trust_query
from training.demo import next_version
from training.sessions.blend_training import BlendRecipe
from training.sessions.blending import Sources
from training.sessions.data import Dataset
from training.sessions.encoder import EncoderRecipe
from training.sessions.encoder_training import Tick, silent
from training.sessions.evaluate import learn_blend, load_model


def served(name: str, data: Dataset, tenant: str, sources: Sources, blend: Blend) -> Artefact:
    """An artefact that serves by behaviour alone: an item's id is its number in the log.

    Args:
        name: of the artefact.
        data: the log.
        tenant: shop whose items these are.
        sources: the final encoder, neighbours and counters, which know all of `data.full`.
        blend: of these sources.
    """
    model = sources.model
    dim = model.vectors.shape[1]
    made = artefacts.build(name, FusionConfig(dim=dim), model.encoder.config, ScorerConfig(features=WIDTH))
    made.session.load_state_dict(model.encoder.state_dict())
    with torch.no_grad():  # a log of clicks knows one kind of event: the others are taken for it
        made.session.kind.weight.copy_(model.encoder.kind.weight[int(EventKind.VIEW)].expand_as(made.session.kind.weight))
        made.fusion.enabled.copy_(torch.tensor([0.0, 0.0, 1.0]))
    trust_query(made.scorer)
    made.keys = np.array([item_key(tenant, str(number)) for number in data.ids.tolist()], dtype=np.int64)
    made.vectors = np.ascontiguousarray(model.unit_vectors().numpy())
    made.blend = of_log(blend, tenant, made.keys, data.full, sources.counters, sources.neighbours.settings)
    return made


def serve(data: Dataset, training: Path, recipe: EncoderRecipe, tenant: str, out: Path, tick: Tick = silent) -> dict[str, Any]:
    """Turn the training in a folder into an artefact; the blend is learned first if it is not there.

    Args:
        data: the log that was trained on.
        training: folder with `fit.pt` and `final.pt`.
        recipe: of the encoder.
        tenant: shop whose items these are.
        out: folder of the artefact; its name is the folder's.
        tick: told how far the blend is.

    Returns:
        The manifest.
    """
    learned = learn_blend(data, training, recipe, BlendRecipe(seed=recipe.seed), tick)
    sources = Sources.learn(load_model(data, recipe, training / "final.pt"), data.full, data.items)
    made = served(out.name, data, tenant, sources, learned.blend)
    made.version = next_version(out)
    made.metrics = {
        "sessions": len(data.full),
        "items": data.items,
        "seed": recipe.seed,
        "blend": {"queries": learned.queries, "targets_among_candidates": learned.reached, "loss": min(learned.curve)},
    }
    return artefacts.save(made, out)

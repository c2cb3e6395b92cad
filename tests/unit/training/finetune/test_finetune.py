"""Fine-tuning on towers of a few thousand weights: what moves, what stays, what a kill and a merge leave as it was."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from contracts.errors import ConfigurationError
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.text import TextEncoder, load_tokenizer
from training.distributed import World
from training.finetune import heads
from training.finetune.data import Items, part_of
from training.finetune.loop import finetune
from training.finetune.model import Classifier
from training.finetune.recipe import Recipe
from training.finetune.run import Bases, open_towers, reopened, run
from training.finetune.towers import save
from training.tracking.port import Silent
from triton_models.export import export

SHORT = Recipe(mode="lora", towers="both", fewest=3, most=3, batch=32, rank=2, adapter_rate=1e-2)


class Killed(BaseException):
    """Stands for the end of the process."""


class Killer(Silent):
    """Ends a training after an epoch's checkpoint."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002 - the port has it
        if step == 2:
            raise Killed


def model_of(items: Items, bases: Bases, recipe: Recipe) -> Classifier:
    torch.manual_seed(recipe.seed)
    model = Classifier(open_towers(recipe.towers, bases), len(items.classes), recipe)
    model.read(items)
    return model


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_that_was_killed_ends_with_the_weights_of_an_unbroken_one(
    optimizer: str, items: Items, bases: Bases, tmp_path: Path
) -> None:
    recipe = replace(SHORT, towers="text", optimizer=optimizer)  # type: ignore[arg-type]
    whole = model_of(items, bases, recipe)
    wanted = finetune(whole, items, recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        finetune(model_of(items, bases, recipe), items, recipe, tmp_path / "broken", Killer())
    again = model_of(items, bases, recipe)
    found = finetune(again, items, recipe, tmp_path / "broken")
    assert [row["loss"] for row in found.curve] == [row["loss"] for row in wanted.curve]
    assert found.before == wanted.before
    for name, weight in whole.trained().items():
        assert torch.equal(weight, again.trained()[name]), name


def test_a_folder_with_another_recipe_is_refused_and_the_difference_named(items: Items, bases: Bases, tmp_path: Path) -> None:
    recipe = Recipe(mode="frozen", fewest=1, most=1)
    finetune(model_of(items, bases, recipe), items, recipe, tmp_path)
    other = replace(recipe, batch=64)
    with pytest.raises(ConfigurationError, match="batch 32, not 64"):
        finetune(model_of(items, bases, other), items, other, tmp_path)


def test_merged_adapters_answer_as_adapted_towers_and_the_saved_towers_are_opened_by_path(
    items: Items, bases: Bases, tmp_path: Path
) -> None:
    model = model_of(items, bases, SHORT)
    plain = model.encode(np.arange(50), World())
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapted = model.encode(np.arange(50), World())
    assert float((adapted - plain).abs().max()) > 0.1
    model.merge()
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    torch.testing.assert_close(model.encode(np.arange(50), World()), adapted, atol=1e-4, rtol=0)
    for name, tower in model.towers.items():
        save(tower, tmp_path / name)  # type: ignore[arg-type]
    saved = Bases(str(tmp_path / "text"), str(tmp_path / "image"), bases.side)
    again = model_of(items, saved, replace(SHORT, mode="frozen"))
    torch.testing.assert_close(again.encode(np.arange(50), World()), adapted, atol=1e-4, rtol=0)


def test_a_tuned_text_tower_is_exported_for_serving_by_its_path(items: Items, bases: Bases, tmp_path: Path) -> None:
    run(items, bases, replace(SHORT, towers="text", most=8), tmp_path / "run")
    tower = str(tmp_path / "run" / "text")
    made = artefacts.build(
        "tiny", FusionConfig(dim=8, text_width=16, image_width=8, image_size=16, image_channels=4), SessionConfig(dim=8),
        ScorerConfig(features=5),
    )  # fmt: skip
    made.text_encoder = tower
    artefacts.save(made, tmp_path / "artefact")
    export(tmp_path / "artefact", tmp_path / "served", Console(file=io.StringIO()))
    tokens = load_tokenizer(tower)(["new red shoe", "old hat"], padding=True, return_tensors="pt")
    graph = onnxruntime.InferenceSession(str(tmp_path / "served" / "text.onnx"), providers=["CPUExecutionProvider"])
    names = ("input_ids", "attention_mask")
    (found,) = graph.run(None, {name: tokens[name].numpy() for name in names})
    with torch.no_grad():
        wanted, untuned = (TextEncoder(name)(*(tokens[key] for key in names)).numpy() for name in (tower, bases.text_encoder))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - untuned).max() > 0.01


@pytest.mark.parametrize(("mode", "layers"), [("frozen", 0), ("full", 0), ("full", 1)])
def test_only_what_the_mode_names_is_trained(mode: str, layers: int, items: Items, bases: Bases, tmp_path: Path) -> None:
    recipe = Recipe(mode=mode, fewest=1, most=1, rate=1e-2, freeze_layers=layers)  # type: ignore[arg-type]
    model = model_of(items, bases, recipe)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    finetune(model, items, recipe, tmp_path)
    model.restore(torch_file(tmp_path / "resume.safetensors"))
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert "head.layer.weight" in moved
    assert any("layer.1." in name for name in moved) == (mode == "full")
    assert any("layer.0." in name or "embeddings" in name for name in moved) == (mode == "full" and not layers)


def torch_file(path: Path) -> dict[str, torch.Tensor]:
    """The newest weights of a checkpoint, which need not be the best."""
    return {name.removeprefix("model/"): value for name, value in load_file(path).items() if name.startswith("model/")}


def test_photos_add_what_titles_do_not_say_and_the_report_tells_before_and_after(
    items: Items, bases: Bases, tmp_path: Path
) -> None:
    recipe = Recipe(mode="full", towers="both", fewest=4, most=30, patience=2, rate=3e-3)
    _, figures = run(items, bases, recipe, tmp_path)
    assert figures["after"]["accuracy"] > max(0.85, figures["before"]["accuracy"])
    assert figures["epochs"] < 30, "it converged and went on"
    assert figures["trainable"] < figures["parameters"], "the pooler, which nothing reads, is not trained"
    assert figures["after"]["classes"]["red"]["support"] + figures["after"]["classes"]["blue"]["support"] == len(
        items.part("test")
    )


def test_heads_are_kept_by_name_over_one_tower_and_answer_as_they_did(items: Items, bases: Bases, tmp_path: Path) -> None:
    for name, seed in (("colour", 0), ("other", 1)):
        model, _ = run(items, bases, replace(SHORT, towers="text", seed=seed), tmp_path / name)
        heads.save(tmp_path / "heads", name, *heads.load(tmp_path / name / "heads", "last"))
        again = reopened(*heads.load(tmp_path / "heads", name), items)
        rows = np.arange(40)
        torch.testing.assert_close(again.predict(rows, World()), model.predict(rows, World()), atol=1e-4, rtol=0)
    assert heads.names(tmp_path / "heads") == ["colour", "other"]
    with pytest.raises(ConfigurationError, match=r"no 'size'.*'colour', 'other'"):
        heads.load(tmp_path / "heads", "size")
    with pytest.raises(ConfigurationError, match="plain name"):
        heads.path_of(tmp_path, "../colour")


def test_the_split_of_an_item_does_not_depend_on_the_others() -> None:
    ids = [str(number) for number in range(5000)]
    parts = part_of(ids)
    assert np.array_equal(part_of(ids[::-1]), parts[::-1])
    shares = np.bincount(parts) / len(ids)
    assert np.allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


@pytest.mark.parametrize(("change", "name"), [({"fewest": 60}, "--fewest: 60"), ({"rate": 0.0}, "--rate: 0.0")])
def test_a_recipe_out_of_bounds_names_the_option(change: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Recipe(**change)  # type: ignore[arg-type]


def test_rates_rise_and_fall_to_nothing() -> None:
    for decay in ("linear", "cosine"):
        recipe = Recipe(decay=decay)
        factors = [recipe.factor(step, 100) for step in range(101)]
        assert factors[0] == pytest.approx(0.1)
        assert max(factors) == factors[9] == 1.0
        assert factors[9:] == sorted(factors[9:], reverse=True)
        assert factors[100] == pytest.approx(0.0)

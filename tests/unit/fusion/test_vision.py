"""Picture encoders by name: classes of transformers from a local folder, alike in training, in an artefact and in ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from contracts.errors import ConfigurationError
from fusion import artefact as artefacts
from fusion.config import FusionConfig, ScorerConfig, SessionConfig
from fusion.image import ImageEncoder
from fusion.vision import VisionEncoder, open_image_encoder
from triton_models.export import GRAPHS, write_graph

HF: Any = transformers  # its classes are only partly typed
TINY: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
PATCHES: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8}
CLASSES = ("vit", "siglip", "resnet", "convnext")


def publish(kind: str, folder: Path) -> str:
    """A model with random weights, as its authors would publish it."""
    torch.manual_seed(0)
    made = {
        "vit": lambda: HF.ViTModel(HF.ViTConfig(**PATCHES)),
        "vit without a pooling layer": lambda: HF.ViTModel(HF.ViTConfig(**PATCHES), add_pooling_layer=False),
        "siglip": lambda: HF.SiglipVisionModel(HF.SiglipVisionConfig(**PATCHES)),
        "resnet": lambda: HF.ResNetModel(HF.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
        "convnext": lambda: HF.ConvNextModel(HF.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)),
        "bert": lambda: HF.BertModel(HF.BertConfig(**TINY, vocab_size=30)),
    }[kind]()
    made.save_pretrained(folder / kind)
    return str(folder / kind)


def pictures(count: int, side: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", CLASSES)
def test_a_vision_model_by_path_serves_from_an_artefact_as_it_trained(kind: str, tmp_path: Path) -> None:
    name = publish(kind, tmp_path)
    made = artefacts.build("shop", FusionConfig(dim=8), SessionConfig(dim=8), ScorerConfig(features=3), name)
    assert made.fusion_config.image_width == made.image.width == 16
    with torch.no_grad():
        made.image.standardise(made.image(pictures(32)))
        wanted = made.image(pictures(32))
    assert abs(float(wanted.mean())) < 1e-4
    assert float(wanted.std()) == pytest.approx(1.0, abs=1e-3)
    artefacts.save(made, tmp_path / "artefact")
    size = (tmp_path / "artefact" / "image.safetensors").stat().st_size
    assert size < 1000, "the published weights stay outside"
    again = artefacts.load(tmp_path / "artefact")
    with torch.no_grad():
        torch.testing.assert_close(again.image(pictures(32)), wanted)
    write_graph(GRAPHS["image"](again), tmp_path / "image.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "image.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"pixels": pictures(32).numpy()})[0]
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-4)


def test_weights_without_a_pooling_layer_give_the_mean_of_the_tokens_and_not_chance(tmp_path: Path) -> None:
    name = publish("vit without a pooling layer", tmp_path)
    first, second = VisionEncoder(name), VisionEncoder(name)
    with torch.no_grad():
        torch.testing.assert_close(first(pictures(2)), second(pictures(2)))


def test_colours_are_scaled_as_the_model_s_own_file_says(tmp_path: Path) -> None:
    name = publish("resnet", tmp_path)
    scaling = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (tmp_path / "resnet" / "preprocessor_config.json").write_text(json.dumps(scaling))
    encoder = VisionEncoder(name)
    assert encoder.mean.flatten().tolist() == pytest.approx([255 * value for value in scaling["image_mean"]])
    assert encoder.deviation.flatten().tolist() == pytest.approx([255 * value for value in scaling["image_std"]])


def test_what_is_no_vision_model_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="BertModel, expected a model of RGB pictures"):
        VisionEncoder(publish("bert", tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"model\.image_encoder: .*empty.*cannot be loaded"):
        VisionEncoder(str(tmp_path / "empty"))


def test_compact_is_our_own_network_and_its_artefact_holds_it_whole(tmp_path: Path) -> None:
    sizes = FusionConfig(dim=8, image_width=12, image_channels=4)
    assert isinstance(open_image_encoder("compact", sizes), ImageEncoder)
    made = artefacts.build("shop", sizes, SessionConfig(dim=8), ScorerConfig(features=3))
    artefacts.save(made, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(artefacts.load(tmp_path).image(pictures(2)), made.image.eval()(pictures(2)))

"""A trained recommender in memory: its networks, behaviour vectors and sizes, to and from a checkpoint folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from contracts.tensors import EventKind
from fusion import blend_file, checkpoint
from fusion.blend_file import BlendFile
from fusion.config import FusionConfig, ScorerConfig, SessionConfig, from_mapping, to_mapping
from fusion.features import FEATURES
from fusion.fuse import Fusion
from fusion.image import ImageEncoder
from fusion.scorer import Scorer
from fusion.session import SessionEncoder
from fusion.vision import COMPACT, VisionEncoder, open_image_encoder

MODALITIES = ("text", "image", "behaviour")  # of the manifest, in the order of `Fusion.enabled`


@dataclass
class Artefact:
    """Everything that `vitrine train` ships.

    Attributes:
        name: of the artefact.
        version: number that pages and embeddings carry.
        image: picture encoder: our network, or a Hugging Face model whose weights stay outside the artefact.
        text_encoder: as in `settings.model.text_encoder`.
        image_encoder: as in `settings.model.image_encoder`.
        max_tokens: tokens of a text that count; serving pads every text to it.
        keys: int64 [n], item keys of the behaviour vectors.
        vectors: float32 [n, D].
        metrics: what the training measured.
        blend: what streams beside the encoder, where a blend was trained.
    """

    name: str
    image: ImageEncoder | VisionEncoder
    fusion: Fusion
    session: SessionEncoder
    scorer: Scorer
    fusion_config: FusionConfig
    session_config: SessionConfig
    scorer_config: ScorerConfig
    keys: NDArray[np.int64]
    vectors: NDArray[np.float32]
    version: int = 1
    text_encoder: str = "minilm"
    image_encoder: str = COMPACT
    max_tokens: int = 64
    metrics: dict[str, Any] = field(default_factory=dict)
    blend: BlendFile | None = None


def build(
    name: str, fusion: FusionConfig, session: SessionConfig, scorer: ScorerConfig, image_encoder: str = COMPACT
) -> Artefact:
    """Untrained networks under torch's current seed, without behaviour vectors.

    Args:
        name: of the artefact.
        fusion: sizes; `image_width` gives way to the width of a Hugging Face picture encoder.
        session: sizes.
        scorer: sizes.
        image_encoder: as in `settings.model.image_encoder`.

    Raises:
        ConfigurationError: if there is no such picture encoder.
    """
    image = open_image_encoder(image_encoder, fusion)
    if isinstance(image, ImageEncoder):  # the artefact holds all of it, wherever its first weights came from
        image_encoder, fusion = COMPACT, image.config
    else:
        fusion = replace(fusion, image_width=image.width)
    return Artefact(
        name=name,
        image=image,
        fusion=Fusion(fusion),
        session=SessionEncoder(session),
        scorer=Scorer(scorer),
        fusion_config=fusion,
        session_config=session,
        scorer_config=scorer,
        keys=np.zeros(0, dtype=np.int64),
        vectors=np.zeros((0, fusion.dim), dtype=np.float32),
        image_encoder=image_encoder,
    )


def _networks(artefact: Artefact) -> dict[str, nn.Module]:
    return {"image": artefact.image, "fusion": artefact.fusion, "session": artefact.session, "scorer": artefact.scorer}


def _own(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights that the artefact holds itself."""
    return network.own_state() if isinstance(network, VisionEncoder) else network.state_dict()


def save(artefact: Artefact, folder: Path) -> dict[str, Any]:
    """Write the artefact; see :func:`fusion.checkpoint.save`.

    Returns:
        The manifest.
    """
    groups: dict[str, checkpoint.Tensors] = {
        name: {key: tensor.detach().numpy() for key, tensor in _own(network).items()}
        for name, network in _networks(artefact).items()
    }
    groups["behaviour"] = {"keys": artefact.keys, "vectors": artefact.vectors}
    manifest = {
        "name": artefact.name,
        "version": artefact.version,
        "dim": artefact.fusion_config.dim,
        "state_width": artefact.session_config.state_width,
        "ring": artefact.session_config.ring,
        "tau": artefact.session_config.tau,
        "kinds": [kind.name for kind in EventKind],
        "features": list(FEATURES),
        "text_encoder": artefact.text_encoder,
        "image_encoder": artefact.image_encoder,
        "max_tokens": artefact.max_tokens,
        "image_size": artefact.fusion_config.image_size,
        "modalities": [name for name, on in zip(MODALITIES, artefact.fusion.enabled.tolist(), strict=True) if on],
        "fusion": to_mapping(artefact.fusion_config),
        "session": to_mapping(artefact.session_config),
        "scorer": to_mapping(artefact.scorer_config),
        "metrics": artefact.metrics,
    }
    if artefact.blend is not None:
        groups[blend_file.GROUP] = artefact.blend.tensors()
        manifest[blend_file.GROUP] = artefact.blend.about()
    return checkpoint.save(folder, manifest, groups)


def load(folder: Path) -> Artefact:
    """Read an artefact and put its networks into evaluation mode.

    Raises:
        ConfigurationError: if a file is missing or its hash differs from the manifest's, or the picture encoder that it
            names cannot be loaded.
    """
    manifest = checkpoint.load_manifest(folder)
    artefact = build(
        manifest["name"],
        from_mapping(FusionConfig, manifest["fusion"]),
        from_mapping(SessionConfig, manifest["session"]),
        from_mapping(ScorerConfig, manifest["scorer"]),
        manifest.get("image_encoder", COMPACT),
    )
    for name, network in _networks(artefact).items():
        group = checkpoint.load_group(folder, manifest, name)
        outside = isinstance(network, VisionEncoder)  # its published weights are in place already
        network.load_state_dict({key: torch.from_numpy(array) for key, array in group.items()}, strict=not outside)
        network.eval()
    behaviour = checkpoint.load_group(folder, manifest, "behaviour")
    artefact.keys, artefact.vectors = behaviour["keys"], behaviour["vectors"]
    artefact.version, artefact.metrics = manifest["version"], manifest["metrics"]
    artefact.text_encoder, artefact.max_tokens = manifest["text_encoder"], manifest["max_tokens"]
    artefact.blend = blend_file.load(folder)
    return artefact

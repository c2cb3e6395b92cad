"""The part of an artefact that streams beside the encoder: the blend, and what the training log taught. NumPy only.

`blend.safetensors` holds the blend's weights (`blend.…`), the newest sessions of the log (`keys` int64 [n] item keys, `items`
int32 rows of all sessions in one line, `lengths` int32 [m]) and the trend counters (`trend.…`). The manifest's `blend` names
the shop and how neighbours vote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigurationError
from fusion import checkpoint
from fusion.blend import FEATURES, Blend
from fusion.learned import Learned
from fusion.neighbours import NeighbourSettings
from fusion.trend import TrendCounters

GROUP = "blend"
MOST_SESSIONS = 200_000
"""Sessions of a log that an artefact brings along, some megabytes."""


@dataclass(frozen=True)
class BlendFile:
    """What a model brings along to be blended.

    Attributes:
        blend: of the sources.
        tenant: shop whose items these are.
        neighbours: how sessions vote.
        keys: int64 [n] item keys by row.
        items: int32, rows of all sessions in one line, oldest session first.
        lengths: int32 [m].
        trend: state of the counters, by row.
    """

    blend: Blend
    tenant: str
    neighbours: NeighbourSettings
    keys: NDArray[np.int64]
    items: NDArray[np.int32]
    lengths: NDArray[np.int32]
    trend: Mapping[str, NDArray[np.float64]]

    @property
    def windows(self) -> tuple[float, ...]:
        """Windows of the trend counters, clicks of the shop."""
        return tuple(self.trend["windows"].tolist())

    def tensors(self) -> dict[str, NDArray[Any]]:
        """For `fusion.checkpoint.save`."""
        return {
            **{f"blend.{name}": value for name, value in asdict(self.blend).items()},
            **{f"trend.{name}": value for name, value in self.trend.items()},
            "keys": self.keys,
            "items": self.items.astype(np.int32),
            "lengths": self.lengths.astype(np.int32),
        }

    def about(self) -> dict[str, Any]:
        """For the manifest."""
        return {"tenant": self.tenant, "neighbours": asdict(self.neighbours), "features": list(FEATURES)}

    def learned(self, most: int) -> Learned:
        """What a ranker knows before the stream begins.

        Args:
            most: sessions that are kept.
        """
        made = Learned(self.neighbours, self.windows, most)
        newest = self.lengths[-most:].astype(np.int64)
        items = self.items[len(self.items) - int(newest.sum()) :].astype(np.int64)
        made.seed(self.keys, items, newest, self.trend)
        return made


def of_log(
    blend: Blend, tenant: str, keys: NDArray[np.int64], sessions: list[NDArray[np.int64]], counters: TrendCounters,
    neighbours: NeighbourSettings,
) -> BlendFile:  # fmt: skip
    """The part of an artefact for a log; of the sessions the newest `MOST_SESSIONS`."""
    newest = sessions[-MOST_SESSIONS:]
    lengths = np.array([len(session) for session in newest], np.int32)
    return BlendFile(blend, tenant, neighbours, keys, np.concatenate(newest).astype(np.int32), lengths, counters.state())


def load(folder: Path) -> BlendFile | None:
    """Read the part from an artefact or its export; None if the model has none.

    Raises:
        ConfigurationError: if the file is not what the manifest says, or the blend was trained on other features.
    """
    if not (folder / f"{GROUP}.safetensors").exists():
        return None
    manifest = checkpoint.load_manifest(folder)
    if f"{GROUP}.safetensors" not in manifest["files"]:
        return None
    about = manifest.get(GROUP, {})
    if about.get("features") != list(FEATURES):
        message = f"{folder}: the blend was trained on the features {about.get('features')}, expected {list(FEATURES)}"
        raise ConfigurationError(message)
    tensors = checkpoint.load_group(folder, manifest, GROUP)
    try:
        return BlendFile(
            Blend(**{field.name: tensors[f"blend.{field.name}"] for field in fields(Blend)}),
            str(about["tenant"]),
            NeighbourSettings(**about["neighbours"]),
            tensors["keys"],
            tensors["items"],
            tensors["lengths"],
            {name.removeprefix("trend."): value for name, value in tensors.items() if name.startswith("trend.")},
        )
    except (KeyError, TypeError) as error:
        message = f"{folder}/{GROUP}.safetensors: {type(error).__name__}: {error}"
        raise ConfigurationError(message) from error

"""`item_encoder` without Triton: arrays in, arrays out, see `contracts.tensors`.

Shapes: B items, L bytes of text, T tokens, H×V pixels, Di width of the picture network, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from contracts.catalog import MODALITIES
from contracts.errors import ConfigurationError, TensorMismatch
from contracts.tensors import ITEM_ENCODER_INPUTS, MAX_TEXT_BYTES, Info
from triton_models.artefact import Behaviour, Manifest, load_behaviour, read_manifest
from triton_models.index import Floats
from triton_models.onnx_session import Graph

Arrays = Mapping[str, NDArray[Any]]
# Tokens that a text is padded to: its own number decides, not its neighbours, so that its bits do not depend on them.
LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256)


class ItemEncoder:
    """Text and picture towers, the vector learnt from clicks, and their fusion.

    Args:
        folder: exported model.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest: Manifest = read_manifest(folder)
        self._behaviour: Behaviour = load_behaviour(folder, self.manifest)
        self._text = Graph(folder / "text.onnx")
        self._image = Graph(folder / "image.onnx")
        self._fuse = Graph(folder / "fuse.onnx")
        self._tokenizer = _tokenizer(folder, self.manifest)
        self._text_width = int(self._text_of([[0]])[0].shape[0])
        self._image_width = int(self._image_of(self._blank(1)).shape[1])

    @classmethod
    def open(cls, folder: Path) -> ItemEncoder:
        """Load from a folder.

        Raises:
            ConfigurationError: if a file of the model is missing or wrong.
        """
        return cls(folder)

    def _blank(self, batch: int) -> NDArray[np.uint8]:
        side = self.manifest.image_size
        return np.zeros((batch, side, side, 3), np.uint8)

    def warm(self) -> None:
        """Encode a small batch of each text length once."""
        words = [" ".join(["shoe"] * (length - 8)).encode()[:MAX_TEXT_BYTES] for length in LENGTHS[:4]]
        text = np.zeros((len(words), MAX_TEXT_BYTES), np.uint8)
        for row, word in enumerate(words):
            text[row, : len(word)] = np.frombuffer(word, np.uint8)
        batch = len(words)
        self.encode(
            {
                "text": text,
                "image": self._blank(batch),
                "has_image": np.ones(batch, np.uint8),
                "keys": np.zeros(batch, np.int64),
            }
        )

    def encode(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Vectors of a batch of items; an item's bits do not depend on the others.

        Raises:
            TensorMismatch: an input is missing, of another type or shape than declared, the rows differ in number, or the
                pictures are not of the size that the model takes.
        """
        self._check(inputs)
        batch = len(inputs["keys"])
        has = np.zeros((batch, len(MODALITIES)), np.float32)
        text_raw = np.zeros((batch, self._text_width), np.float32)
        image_raw = np.zeros((batch, self._image_width), np.float32)
        texts = [bytes(row).rstrip(b"\0").decode("utf-8", "ignore").strip() for row in inputs["text"]]
        with_text = np.array([bool(text) for text in texts])
        if with_text.any():
            encoded = self._tokenizer.encode_batch([text for text in texts if text])
            text_raw[with_text] = self._text_of([entry.ids for entry in encoded])
        with_image = inputs["has_image"] != 0
        if with_image.any():
            image_raw[with_image] = self._image_of(inputs["image"][with_image])
        behaviour, is_known = self._behaviour.look_up(inputs["keys"])
        has[:, 0], has[:, 1], has[:, 2] = with_text, with_image, is_known
        fused, text, image, weights = self._fuse(
            {"text_raw": text_raw, "image_raw": image_raw, "behaviour": behaviour, "has": has}
        )
        info = np.zeros(len(Info), np.int64)
        info[Info.MODEL_VERSION] = self.manifest.version
        info[Info.STATE_WIDTH] = self.manifest.state_width
        missing = ((has == 0) @ np.array([1, 2, 4])).astype(np.int32)
        return {"fused": fused, "text": text, "image": image, "weights": weights, "missing": missing, "info": info}

    def _text_of(self, ids: list[list[int]]) -> Floats:
        """Raw text vectors, texts of about one length together."""
        groups: dict[int, list[int]] = defaultdict(list)
        for row, tokens in enumerate(ids):
            groups[next((length for length in LENGTHS if length >= len(tokens)), LENGTHS[-1])].append(row)
        out: Floats | None = None
        for length, rows in groups.items():
            table = np.zeros((len(rows), length), np.int64)
            mask = np.zeros((len(rows), length), np.int64)
            for place, row in enumerate(rows):
                tokens = ids[row][:length]
                table[place, : len(tokens)] = tokens
                mask[place, : len(tokens)] = 1
            raw = self._text({"input_ids": table, "attention_mask": mask})[0]
            if out is None:
                out = np.zeros((len(ids), raw.shape[1]), np.float32)
            out[rows] = raw
        return out if out is not None else np.zeros((0, 0), np.float32)

    def _image_of(self, pixels: NDArray[np.uint8]) -> Floats:
        raw: Floats = self._image({"pixels": np.ascontiguousarray(pixels)})[0]
        return raw

    def _check(self, inputs: Arrays) -> None:
        for spec in ITEM_ENCODER_INPUTS:
            if spec.name not in inputs:
                message = f"tensor {spec.name}: missing, expected {spec.dtype}{list(spec.shape)}"
                raise TensorMismatch(message, path=spec.name)
            spec.check(inputs[spec.name])
        rows = {spec.name: len(inputs[spec.name]) for spec in ITEM_ENCODER_INPUTS}
        if len(set(rows.values())) > 1 or not rows["keys"]:
            message = f"rows of the tensors: got {rows}, expected the same number, at least 1, in all"
            raise TensorMismatch(message, path="keys")
        side = self.manifest.image_size
        if inputs["has_image"].any() and inputs["image"].shape[1:3] != (side, side):
            message = f"tensor image: got pictures of {inputs['image'].shape[1:3]} pixels, the model takes {side} x {side}"
            raise TensorMismatch(message, path="image")


def _tokenizer(folder: Path, manifest: Manifest) -> Any:
    """The text network's tokenizer, cutting long texts.

    Raises:
        ConfigurationError: if `tokenizer.json` is missing or damaged.
    """
    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        message = f"{file} cannot be read: {error}"
        raise ConfigurationError(message) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(manifest.max_tokens, LENGTHS[-1]))
    return tokenizer

"""Vectors of texts by the offline text encoder, kept on disk: the encoder takes some 20 ms a text on one core."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]


def offline_encoder() -> Encode:
    """The encoder `minilm`: texts to unit vectors [n, 384]; loaded when it is first asked."""

    @cache
    def loaded() -> tuple[Any, Any, Any]:
        from fusion.text import TextEncoder, encode_texts, load_tokenizer  # noqa: PLC0415 - seconds, and often not needed

        return TextEncoder(), load_tokenizer("minilm"), encode_texts

    def encode(texts: Sequence[str]) -> Floats:
        encoder, tokenizer, encode_texts = loaded()
        # Texts of like length share a batch, so that little is padded.
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = torch.cat(list(encode_texts(encoder, tokenizer, [texts[row] for row in order]))).numpy()
        result = np.empty_like(found)
        result[order] = found
        return result

    return encode


def kept(folder: Path, texts: Sequence[str], encode: Encode) -> Floats:
    """Vectors of texts, from the folder if these very texts were encoded before."""
    name = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as held:
            return np.asarray(held["vectors"], dtype=np.float32)
    vectors = encode(texts)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part.npz"
    np.savez(part, vectors=vectors)
    part.replace(path)
    return vectors

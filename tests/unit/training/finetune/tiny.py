"""Towers so small that a training takes a second, and a catalogue whose labels can be read from titles and photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from fusion.config import FusionConfig
from fusion.image import ImageEncoder
from training.finetune.data import Items
from training.finetune.run import Bases

SIDE = 16
WORDS = ["red", "blue", "shoe", "hat", "new", "old", "fine", "small", "big", "soft"]


def write_towers(folder: Path) -> Bases:
    """A text tower of two layers and a picture tower of a few channels, on disk as their big sisters are."""
    vocabulary = {word: row for row, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]")  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder / "text")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    words: Any = BertModel(config)  # type: ignore[no-untyped-call]
    words.save_pretrained(folder / "text")
    (folder / "image").mkdir()
    network = ImageEncoder(FusionConfig(image_channels=4, image_width=8))
    save_file(network.state_dict(), folder / "image" / "image.safetensors")
    return Bases(str(folder / "text"), str(folder / "image"), SIDE)


def written_items() -> Items:
    """200 items of two colours: the title names the colour or not, the photo always shows it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    titles = []
    for label in labels:
        words = list(rng.choice(WORDS[2:], 3))
        if rng.random() < 0.7:
            words[rng.integers(3)] = ("blue", "red")[label]
        titles.append(" ".join(words))
    light = rng.integers(0, 200, (200, 1, 1, 3))  # of the lamp, so that a photo's mean colour says little
    pixels = (light + rng.integers(0, 20, (200, SIDE, SIDE, 3))).astype(np.uint8)
    pixels[np.arange(200), 4:12, 4:12, np.where(labels == 1, 0, 2)] += 35
    ids = tuple(f"item-{row}" for row in range(200))
    return Items("colour", ids, tuple(titles), labels, ("blue", "red"), pixels, np.ones(200, dtype=bool))

"""What each process of `test_distributed` runs: a fine-tuning and a session training on tiny data, without dropout.

Arguments: folder of the data, folder for the results. Started by torchrun, or called in the test's own process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from training.distributed import World, joined_world
from training.finetune.data import Items
from training.finetune.recipe import Recipe
from training.finetune.run import Bases, run
from training.sessions.data import read_sessions
from training.sessions.encoder import EncoderRecipe
from training.sessions.encoder_training import train_encoder

TUNING = Recipe(mode="lora", towers="both", fewest=2, most=2, batch=13, rank=2, dropout=0.0, adapter_rate=1e-2)
SESSIONS = EncoderRecipe(dim=8, negatives=64, targets=50, fewest=2, most=2, refit_epochs=1, dropout=0.0)


def items_in(data: Path) -> Items:
    """The catalogue that the test wrote."""
    words, arrays = json.loads((data / "words.json").read_text()), load_file(data / "arrays.safetensors")
    return Items(
        "colour", tuple(words["ids"]), tuple(words["titles"]), arrays["labels"], ("blue", "red"), arrays["pixels"],
        np.ones(len(arrays["labels"]), dtype=bool),
    )  # fmt: skip


def train(data: Path, out: Path, world: World) -> None:
    """Both trainings; the first process writes what was found."""
    torch.set_num_threads(1)
    bases = Bases(str(data / "text"), str(data / "image"), 16)
    model, tuned = run(items_in(data), bases, TUNING, out / "tuned", world=world)
    logits = model.predict(np.arange(40), world)
    learned = train_encoder(read_sessions(data), out / "sessions", replace(SESSIONS), 5, world=world)
    if world.writes:
        found = {"curve": tuned["curve"], "after": tuned["after"], "sessions": learned.curve, "logits": logits.tolist()}
        (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    with joined_world("cpu") as joined:
        train(Path(sys.argv[1]), Path(sys.argv[2]), joined)

"""Triton's `config.pbtxt` of each model, made from the tensors that `contracts.tensors` declares.

`python -m triton_models.config` writes the committed files again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.tensors import (
    ITEM_ENCODER_INPUTS,
    ITEM_ENCODER_OUTPUTS,
    PAGE_RANKER_INPUTS,
    PAGE_RANKER_OUTPUTS,
    TensorSpec,
)

REPOSITORY = Path(__file__).parent / "repository"
MODELS: dict[str, tuple[Sequence[TensorSpec], Sequence[TensorSpec]]] = {
    "page_ranker": (PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS),
    "item_encoder": (ITEM_ENCODER_INPUTS, ITEM_ENCODER_OUTPUTS),
}


def _tensors(kind: str, specs: Sequence[TensorSpec]) -> str:
    entries = (
        f'  {{ name: "{spec.name}" data_type: TYPE_{spec.dtype} dims: [ {", ".join(map(str, spec.shape))} ] }}'
        for spec in specs
    )
    return f"{kind} [\n" + ",\n".join(entries) + "\n]\n"


def config_text(name: str) -> str:
    """The whole file for one model.

    `max_batch_size` is 0, so dimensions count the rows too: the worker makes the batches, and a delay in the server would
    be paid in full at low load. One process on the CPU: a second one would hold a second index.
    """
    inputs, outputs = MODELS[name]
    return (
        f'name: "{name}"\n'
        'backend: "python"\n'
        "max_batch_size: 0\n"
        f"{_tensors('input', inputs)}"
        f"{_tensors('output', outputs)}"
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )


def write() -> None:
    """Write the file of every model."""
    for name in MODELS:
        (REPOSITORY / name / "config.pbtxt").write_text(config_text(name), encoding="utf-8")


if __name__ == "__main__":
    write()

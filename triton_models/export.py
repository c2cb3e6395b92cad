"""Export of a trained artefact to what serving loads: ONNX graphs, tokenizer, behaviour vectors, manifest.

`python -m triton_models.export --artefact triton_models/artefacts/demo --out var/models/demo`. This is the only part of
this folder that imports torch. Every graph has a free batch axis, and a row's answer does not depend on its batch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import onnx
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from contracts.errors import ConfigurationError
from contracts.releases import OBJECTIVES
from contracts.settings import Settings
from fusion import artefact as artefacts
from fusion import checkpoint
from fusion.artefact import Artefact
from fusion.blend_file import GROUP
from fusion.scorer import WeightedScorer
from fusion.session import SessionEncoder
from fusion.text import TextEncoder, encoder_path

OPSET = 17
STAMP = "export.sha256"
FORMAT = 1  # raise when the same artefact must be exported anew
COPIED = ("behaviour.safetensors", checkpoint.MANIFEST)
OPTIONAL = f"{GROUP}.safetensors"

Shapes = dict[str, tuple[str | int, ...]]


@dataclass(frozen=True)
class Graph:
    """One ONNX file: a module, example inputs by name, and which axes are free."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    free: dict[str, dict[int, str]]


class _Step(nn.Module):
    """`SessionEncoder.step` with the ring in its signature, so that a later encoder may use it."""

    def __init__(self, encoder: SessionEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, state: Tensor, ring_x: Tensor, x: Tensor, kind: Tensor) -> Tensor:  # noqa: ARG002
        return self.encoder.step(state, x, kind)


class _Query(nn.Module):
    def __init__(self, encoder: SessionEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, state: Tensor, ring_x: Tensor, ring_mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder.query(state, ring_x, ring_mask)


class _Fuse(nn.Module):
    def __init__(self, artefact: Artefact) -> None:
        super().__init__()
        self.fusion = artefact.fusion

    def forward(
        self, text_raw: Tensor, image_raw: Tensor, behaviour: Tensor, has: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        made = self.fusion(text_raw, image_raw, behaviour, has)
        return made.fused, made.text, made.image, made.weights


def _rows(*names: str) -> dict[str, dict[int, str]]:
    return {name: {0: "B"} for name in names}


def _text(artefact: Artefact) -> Graph:
    inputs = {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    free: dict[str, dict[int, str]] = {name: {0: "B", 1: "T"} for name in inputs} | _rows("text_raw")
    return Graph(TextEncoder(artefact.text_encoder), inputs, ("text_raw",), free)


def _image(artefact: Artefact) -> Graph:
    side = artefact.fusion_config.image_size
    inputs = {"pixels": torch.zeros(2, side, side, 3, dtype=torch.uint8)}
    free = {"pixels": {0: "B", 1: "H", 2: "V"}} | _rows("image_raw")
    return Graph(artefact.image, inputs, ("image_raw",), free)


def _fuse(artefact: Artefact) -> Graph:
    sizes = artefact.fusion_config
    inputs = {
        "text_raw": torch.randn(2, sizes.text_width),
        "image_raw": torch.randn(2, sizes.image_width),
        "behaviour": torch.randn(2, sizes.dim),
        "has": torch.ones(2, 3),
    }
    outputs = ("fused", "text", "image", "weights")
    return Graph(_Fuse(artefact), inputs, outputs, _rows(*inputs, *outputs))


def _session_inputs(artefact: Artefact) -> dict[str, Tensor]:
    sizes = artefact.session_config
    return {"state": torch.randn(2, sizes.state_width), "ring_x": torch.randn(2, sizes.ring, sizes.dim)}


def _step(artefact: Artefact) -> Graph:
    inputs = _session_inputs(artefact)
    inputs |= {"x": torch.randn(2, artefact.session_config.dim), "kind": torch.ones(2, dtype=torch.int64)}
    return Graph(_Step(artefact.session), inputs, ("new_state",), _rows(*inputs, "new_state"))


def _query(artefact: Artefact) -> Graph:
    inputs = _session_inputs(artefact) | {"ring_mask": torch.ones(2, artefact.session_config.ring)}
    return Graph(_Query(artefact.session), inputs, ("query", "pointer"), _rows(*inputs, "query", "pointer"))


def _rank(artefact: Artefact) -> Graph:
    inputs = {"features": torch.randn(2, artefact.scorer_config.features)}
    scorer = WeightedScorer(artefact.scorer, Settings().objectives.model_dump())
    return Graph(scorer, inputs, ("probability",), {"features": {0: "N"}, "probability": {0: "N"}})


GRAPHS: dict[str, Callable[[Artefact], Graph]] = {
    "text": _text,
    "image": _image,
    "fuse": _fuse,
    "step": _step,
    "query": _query,
    "rank": _rank,
}


def write_graph(graph: Graph, path: Path) -> None:
    """Export one module and check the file; inputs that the module does not use stay in the signature."""
    module = graph.module.eval()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer names every Python number that it takes for a constant; the equality tests are what counts.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(graph.inputs.values()),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes=graph.free,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    present = {value.name for value in model.graph.input}
    for name, example in graph.inputs.items():
        if name not in present:
            shape = [graph.free.get(name, {}).get(axis, size) for axis, size in enumerate(example.shape)]
            kind = onnx.TensorProto.INT64 if example.dtype == torch.int64 else onnx.TensorProto.FLOAT
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def stamp_of(folder: Path, manifest: dict[str, object]) -> str:
    """What an export depends on: the format, the manifest with the hashes of all weights, the text encoder, the objectives."""
    weights = Path(encoder_path(str(manifest["text_encoder"]))) / "model.safetensors"
    text_encoder = ""
    if weights.exists():  # by content: weights that were tuned lie at the same place and are as long as those before
        with weights.open("rb") as file:
            text_encoder = hashlib.file_digest(file, "sha256").hexdigest()
    objectives = Settings().objectives.model_dump()
    content = json.dumps([FORMAT, OPSET, checkpoint.fingerprint(manifest), text_encoder, folder.name, objectives])
    return hashlib.sha256(content.encode()).hexdigest()


def is_current(out: Path, stamp: str) -> bool:
    """Whether `out` holds a whole export with this stamp; the stamp is written last."""
    wanted = [*(f"{name}.onnx" for name in GRAPHS), *COPIED, "tokenizer.json", OBJECTIVES]
    file = out / STAMP
    return file.exists() and file.read_text(encoding="utf-8") == stamp and all((out / name).exists() for name in wanted)


def export(folder: Path, out: Path, console: Console) -> bool:
    """Export the artefact in `folder` to `out`.

    Returns:
        False if `out` was up to date already.

    Raises:
        ConfigurationError: if the artefact is missing or damaged, or lacks a head that the settings give a weight.
    """
    manifest = checkpoint.load_manifest(folder)
    stamp = stamp_of(folder, manifest)
    if is_current(out, stamp):
        return False
    artefact = artefacts.load(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / STAMP).unlink(missing_ok=True)
    with Progress(console=console) as progress:
        task = progress.add_task("exporting", total=len(GRAPHS))
        for name, build in GRAPHS.items():
            progress.update(task, description=f"exporting {name}")
            write_graph(build(artefact), out / f"{name}.onnx")
            progress.advance(task)
    write_tokenizer(artefact.text_encoder, out)
    copy_files(folder, out)
    (out / OBJECTIVES).write_text(json.dumps(Settings().objectives.model_dump(), indent=1) + "\n", encoding="utf-8")
    (out / STAMP).write_text(stamp, encoding="utf-8")
    return True


def copy_files(artefact: Path, out: Path) -> None:
    """Copy what serving reads as it was trained; what an earlier export left and the artefact lacks goes away."""
    for name in COPIED:
        shutil.copyfile(artefact / name, out / name)
    if OPTIONAL in checkpoint.load_manifest(artefact)["files"]:
        shutil.copyfile(artefact / OPTIONAL, out / OPTIONAL)
    else:
        (out / OPTIONAL).unlink(missing_ok=True)


def write_tokenizer(text_encoder: str, out: Path) -> None:
    """`tokenizer.json`, without the padding and truncation that the encoder's authors left in it: serving sets its own."""
    from fusion.text import load_tokenizer  # noqa: PLC0415 - transformers' tokenizers load slowly

    fast = load_tokenizer(text_encoder).backend_tokenizer
    fast.no_padding()
    fast.no_truncation()
    (out / "tokenizer.json").write_text(fast.to_str(pretty=False), encoding="utf-8")


def main(
    artefact: Annotated[Path, typer.Option(help="Folder with manifest.json and *.safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
) -> None:
    """Export a trained artefact to ONNX; does nothing if the folder is up to date."""
    console = Console(stderr=True)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        changed = export(artefact, out, console)
    except ConfigurationError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    console.print(f"exported {artefact} to {out}" if changed else f"{out} is up to date")


if __name__ == "__main__":
    typer.run(main)

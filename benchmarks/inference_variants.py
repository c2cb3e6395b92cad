"""The ways in which one network can be run on this processor, each as a function of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from triton_models.export import Graph as Exported
from triton_models.export import write_graph
from triton_models.onnx_session import open_session

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], tuple[NDArray[Any], ...]]
NAMES = ("torch eager", "torch bf16", "torch.compile", "AOTInductor", "ONNX Runtime fp32", "ONNX Runtime int8")


@dataclass(frozen=True)
class Variant:
    """One way that works, or why it does not.

    Attributes:
        name: of `NAMES`.
        run: the network; None where it could not be made.
        problem: why not.
    """

    name: str
    run: Run | None
    problem: str = ""


def _twice_if_alone(run: Run) -> Run:
    """A batch of 1 as a batch of 2, as serving does: products of one row round otherwise."""

    def wrapped(feeds: Arrays) -> tuple[NDArray[Any], ...]:
        rows = len(next(iter(feeds.values())))
        if rows == 1:
            feeds = {name: np.concatenate((array, array)) for name, array in feeds.items()}
        return tuple(array[:rows] for array in run(feeds))

    return wrapped


def of_torch(call: Callable[..., Any], names: tuple[str, ...], dtype: torch.dtype | None = None) -> Run:
    """A torch callable as a function of arrays; `names` are its arguments in order."""

    def run(feeds: Arrays) -> tuple[NDArray[Any], ...]:
        tensors = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in names]
        if dtype is not None:
            tensors = [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]
        with torch.inference_mode():
            made = call(*tensors)
        outputs = made if isinstance(made, tuple) else (made,)
        return tuple(output.float().numpy() for output in outputs)

    return run


def _of_onnx(session: onnxruntime.InferenceSession) -> Run:
    inputs = tuple(entry.name for entry in session.get_inputs())

    def run(feeds: Arrays) -> tuple[NDArray[Any], ...]:
        return tuple(session.run(None, {name: feeds[name] for name in inputs}))

    return run


def _bf16(exported: Exported, _folder: Path) -> Run:
    import copy  # noqa: PLC0415 - the other variants keep their weights as they are

    module = copy.deepcopy(exported.module).eval().to(torch.bfloat16)
    return of_torch(module, tuple(exported.inputs), torch.bfloat16)


def _compiled(exported: Exported, _folder: Path) -> Run:
    return of_torch(torch.compile(exported.module.eval(), dynamic=True), tuple(exported.inputs))


def _ahead_of_time(exported: Exported, folder: Path) -> Run:
    shapes = {name: dict.fromkeys(exported.free.get(name, {}), torch.export.Dim.DYNAMIC) or None for name in exported.inputs}
    with torch.no_grad():
        program = torch.export.export(
            exported.module.eval(), tuple(exported.inputs.values()), dynamic_shapes=tuple(shapes.values())
        )
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))  # noqa: SLF001 - torch's documented entry
    return of_torch(torch._inductor.aoti_load_package(package), tuple(exported.inputs))  # noqa: SLF001 - likewise


def _onnx(exported: Exported, folder: Path) -> Run:
    write_graph(exported, folder / "plain.onnx")
    return _of_onnx(open_session(folder / "plain.onnx"))


def _onnx_int8(exported: Exported, folder: Path) -> Run:
    """Weights in 8 bits by channel, activations quantised while it runs, by one scale for the whole batch."""
    write_graph(exported, folder / "plain.onnx")
    quant_pre_process(folder / "plain.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
    quantize_dynamic(folder / "prepared.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
    return _of_onnx(open_session(folder / "int8.onnx"))


_MAKERS: dict[str, Callable[[Exported, Path], Run]] = {
    "torch eager": lambda exported, _: of_torch(exported.module.eval(), tuple(exported.inputs)),
    "torch bf16": _bf16,
    "torch.compile": _compiled,
    "AOTInductor": _ahead_of_time,
    "ONNX Runtime fp32": _onnx,
    "ONNX Runtime int8": _onnx_int8,
}


def make(name: str, exported: Exported, folder: Path, probe: Arrays) -> Variant:
    """Make one variant and run it once.

    Args:
        name: of `NAMES`.
        exported: module and example inputs, as `triton_models.export` has them.
        folder: scratch, its own.
        probe: inputs for the first run, which compiles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = _twice_if_alone(_MAKERS[name](exported, folder))
        run(probe)
    except Exception as error:  # noqa: BLE001 - a way that does not work here is a line of the table
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        return Variant(name, None, f"{type(error).__name__}: {reason}"[:200])
    return Variant(name, run)

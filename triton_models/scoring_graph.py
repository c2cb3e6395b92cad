"""The graph of the exact index, `scoring_graph.onnx`: integer scores of queries against the whole catalogue.

`python -m triton_models.scoring_graph` writes the committed file again; serving has no `onnx` package.
"""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_suffix(".onnx")


def build() -> bytes:
    """The graph: queries UINT8 [B, D] times codes INT8 [D, C] gives scores INT32 [B, C]; exact, since integers do not round."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - serving reads the file and has no such package

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["queries", "codes"], ["scores"])],
        "scoring",
        [
            helper.make_tensor_value_info("queries", TensorProto.UINT8, ["B", "D"]),
            helper.make_tensor_value_info("codes", TensorProto.INT8, ["D", "C"]),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.INT32, ["B", "C"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="vitrine")
    model.ir_version = 8
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    FILE.write_bytes(build())

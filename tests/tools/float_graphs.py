"""Small graphs of float operators on x `[time, batch, 6]`, compared between the engine and onnxruntime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.contract import METADATA_KEY, Contract, Port
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import compile_graph

TOLERANCE = 1e-6
FEATURES = 6
Node = onnx.NodeProto


def node(operator: str, inputs: str, output: str = "y", **attributes: Any) -> Node:  # noqa: ANN401  any attribute
    """Return a node; inputs are names separated by spaces, `-` for an omitted one."""
    names = ["" if name == "-" else name for name in inputs.split()]
    name = f"the {operator}" if output.startswith("y") else output
    return helper.make_node(operator, names, output.split(), name=name, **attributes)


def graph(nodes: Sequence[Node], opset: int = 20, time_axis: int | None = 0, **constants: Any) -> Graph:  # noqa: ANN401  any array
    """Return a streaming graph of x `[time, batch, 6]` -> y with constants by name."""
    value = helper.make_tensor_value_info
    tensors = [
        numpy_helper.from_array(np.asarray(v, np.float32 if np.asarray(v).dtype.kind == "f" else np.int64), k)
        for k, v in constants.items()
    ]
    body = helper.make_graph(
        list(nodes),
        "g",
        [value("x", onnx.TensorProto.FLOAT, ["time", "batch", FEATURES])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    contract = Contract((Port("x", 0, 1),), (Port("y", time_axis, 0 if time_axis is None else 1),), ())
    model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
    return Graph(model)


def frames(seed: int = 0) -> Floats:
    x = np.random.default_rng(seed).normal(0, 2, (40, FEATURES)).astype(np.float32)
    x[7] = 0
    return x


def check(streaming: Graph, x: Floats | None = None) -> Array:
    """Compare the engine's answer with onnxruntime's and return it."""
    x = frames() if x is None else x
    wanted = np.asarray(OnnxruntimeModel(streaming).stream().push(x))
    seen = np.asarray(NativeModel(compile_graph(streaming)).stream().push(x))
    assert seen.shape == wanted.shape
    error = float(np.max(np.abs(seen - wanted) / np.maximum(1, np.abs(wanted))))
    print(f"{streaming.model.graph.node[-1].op_type}: {error:.1e}")
    assert error <= TOLERANCE
    return seen

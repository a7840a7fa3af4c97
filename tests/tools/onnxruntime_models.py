"""Small models for the tests of the onnxruntime backend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Contract, Port
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.streams import Stream
from tools.onnx_files import write_lstm

FRAMES = np.random.default_rng(1).normal(0, 1, (12, 6)).astype(np.float32)


def graph_of(
    nodes: Sequence[onnx.NodeProto], ports: Sequence[Port], shape: Sequence[int | str], **tensors: Array
) -> Graph:
    """Return a graph without states; the first port is its input."""
    inputs = [helper.make_tensor_value_info(ports[0].name, TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info(p.name, TensorProto.FLOAT, None) for p in ports[1:]]
    initializers = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    made = Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    made.set_metadata("tidegate.contract", Contract((ports[0],), tuple(ports[1:]), ()).to_json())
    return made


def gain(shape: Sequence[int | str] = ("time", 6), time: int = 0, batch: int | None = None) -> Graph:
    """Two outputs without state: each frame doubled, and the last frame."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["double"]),
        helper.make_node("Gather", ["x", "index"], ["last"], axis=time),
    ]
    after = None if batch is None else batch - (batch > time)
    ports = Port("x", time, batch), Port("double", time, batch), Port("last", None, after)
    return graph_of(nodes, ports, shape, index=np.array(-1))


def stream_of(tmp_path: Path) -> Stream:
    """Return a stream of an LSTM on onnxruntime."""
    return load(write_lstm(tmp_path / "m.onnx"), "onnxruntime").stream()

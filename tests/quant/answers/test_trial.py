"""The trial run of a graph before it is written."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.quant.answers.trial import opened, try_out
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.graph.graph import Graph
from tools.nets import Net
from tools.onnx_files import write_lstm


def with_cos(path: Path) -> Graph:
    """Return a graph with an operator that the engine does not have."""
    net = Net(np.random.default_rng(0), 6)
    net.cell("RNN", 5)
    net.add("Cos", [net.value])
    net.save(path, 18, last=False)
    return Graph.load(path)


def test_a_graph_for_the_engine_runs_on_it(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    model = opened(graph)
    assert model.backend.startswith("native")
    try_out(graph, model)


def test_a_graph_with_an_operator_that_the_engine_lacks_runs_on_onnxruntime(tmp_path: Path) -> None:
    graph = with_cos(tmp_path / "m.onnx")
    model = opened(graph)
    assert model.backend == "onnxruntime"
    try_out(graph, model)


def test_a_model_of_ids_gets_ids(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0), 1)
    net.embedding(6)
    net.cell("GRU", 5, linear_before_reset=1)
    net.save(tmp_path / "m.onnx", 18, last=False)
    graph = Graph.load(tmp_path / "m.onnx")
    assert graph.model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
    model = opened(graph)
    assert model.backend.startswith("native")
    try_out(graph, model)


def test_an_output_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    graph = with_cos(tmp_path / "m.onnx")
    nan = numpy_helper.from_array(np.array(np.nan, np.float32), "nan")
    graph.model.graph.initializer.append(nan)
    last = graph.model.graph.node[-1]
    name = last.output[0]
    last.output[0] = "before"
    graph.model.graph.node.append(helper.make_node("Mul", ["before", "nan"], [name]))
    with pytest.raises(QuantizationError, match=f"output '{name}' of the quantized model is not finite on noise"):
        try_out(Graph(graph.model), opened(Graph(graph.model)))

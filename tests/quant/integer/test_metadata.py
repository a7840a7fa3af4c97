"""The metadata of integer arithmetic, and the operators that a report names because they compute in floats."""

import json
from pathlib import Path

import numpy as np
from tidegate.quant import quantize
from tidegate.quant.integer.metadata import add_exponents, operators_in_floats
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.integer import Exponents
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, lower
from tools.nets import Net


def quantized(path: Path, precision: str, *operators: str) -> Graph:
    """Return a quantized graph of an LSTM and some functions."""
    net = Net(np.random.default_rng(0), 6)
    net.cell("LSTM", 5)
    for operator in operators:
        net.add(operator, [net.value])
    net.save(path.with_name("m.onnx"), 18, last=False)
    quantize(path.with_name("m.onnx"), path, precision=precision)
    return Graph.load(path)


LSTM: Exponents = {"input": 10, "state": [12] * 5}


def test_exponents_make_the_graph_lower_to_integers_and_keep_the_rest(tmp_path: Path) -> None:
    graph = quantized(tmp_path / "q.onnx", "W8A16", "Relu")
    before = json.loads(graph.metadata(QUANTIZATION_KEY) or "")
    add_exponents(graph, lower(graph), {0: LSTM, 1: {}})
    after = json.loads(graph.metadata(QUANTIZATION_KEY) or "")
    assert {key: after[key] for key in before} == before
    program = lower(graph)
    assert [type(op).__name__ for op in program.ops] == ["IntegerLstm", "IntegerMap"]
    assert operators_in_floats(graph, program) == ()


def test_exponents_of_operations_without_an_integer_form_are_left_out(tmp_path: Path) -> None:
    graph = quantized(tmp_path / "q.onnx", "W4A16", "Relu")
    add_exponents(graph, lower(graph), {0: LSTM, 1: {}})
    program = lower(graph)
    assert [type(op).__name__ for op in program.ops] == ["Lstm", "IntegerMap"]
    (named,) = operators_in_floats(graph, program)
    assert named.endswith(": its weights have 4 bits")
    assert named.startswith("LSTM")


def test_operators_without_an_integer_form_are_named_once(tmp_path: Path) -> None:
    graph = quantized(tmp_path / "q.onnx", "W8A16", "Softmax")
    add_exponents(graph, lower(graph), {0: LSTM})
    (named,) = operators_in_floats(graph, lower(graph))
    assert named.startswith("Softmax")
    assert named.endswith(": Softmax has no integer form")

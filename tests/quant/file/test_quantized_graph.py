"""A quantized graph: its codes, metadata and operator set follow the choice."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tidegate.quant.file.quantized_graph import bytes_of_the_rest, describe, with_codes
from tidegate.quant.file.weight_precisions import choose
from tidegate.quant.file.weights import weights_of
from tidegate.quant.rounding.budget import bytes_of
from tidegate.quant.rounding.choice import Choice, Correction, all_nearest
from tidegate.quant.rounding.nearest import Rounded, to_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, QUANTIZATION_VERSION
from tools.onnx_files import write_lstm


def opened(folder: Path) -> Graph:
    return Graph.load(write_lstm(folder / "m.onnx", features=40, hidden=36))


def fields(graph: Graph) -> dict[str, object]:
    found: dict[str, object] = json.loads(graph.metadata(QUANTIZATION_KEY) or "")
    return found


def test_codes_are_the_nearest_and_float_weights_are_left(tmp_path: Path) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    choice = all_nearest(choose({"*": "W8A8", "V": "float32"}, weights))
    written, made = with_codes(graph, weights, choice)
    assert list(made) == ["W", "R"]
    for weight in weights[:2]:
        np.testing.assert_array_equal(made[weight.name].codes, to_nearest(weight.by_channel(), Precision(8, 8)).codes)
        assert written.producer(weight.name) is not None
    assert written.producer("V") is None
    assert fields(written) == {"version": QUANTIZATION_VERSION, "activation_bits": {"W": 8, "R": 8}}


def test_codes_and_corrections_of_a_choice_are_used(tmp_path: Path) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    asked = choose("W8A16", weights)
    own = Rounded(np.ones((3, 36), np.int8), np.full((3, 1), 0.5, np.float32), Precision())
    added = np.array([1, 2, 3], np.float32)
    before = graph.constant("b")
    choice = Choice(asked, "compensated", {"V": own}, [Correction("V", added, None)], {}, {}, {})
    written, made = with_codes(graph, weights, choice)
    assert made["V"] is own
    np.testing.assert_array_equal(written.constant("V.int8"), own.codes)
    assert before is not None
    np.testing.assert_array_equal(written.constant("b"), before + added)


@pytest.mark.parametrize(
    ("precision", "opset"),
    [("W8A16", 18), ("W8A8", 18), ("W4A16", 21), ("W16A16", 21), ("W8A16g8", 21), ("float32", 18)],
)
def test_only_precisions_that_need_it_raise_the_operator_set(tmp_path: Path, precision: str, opset: int) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    written, _ = with_codes(graph, weights, all_nearest(choose(precision, weights)))
    assert written.opset() == opset


@pytest.mark.parametrize("precision", ["W4A16", "W8A16", "W16A16", "W4A8g8", "W8A8g32"])
def test_the_bytes_set_aside_are_enough_for_every_precision_and_few_too_many(tmp_path: Path, precision: str) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    rest = bytes_of_the_rest(graph, weights, choose("W8A16", weights))
    assert graph.metadata(QUANTIZATION_KEY) is None, "the graph itself is not changed"
    written, made = with_codes(graph, weights, all_nearest(choose(precision, weights)))
    needed = written.model.ByteSize() - sum(bytes_of(one.codes.shape, one.precision) for one in made.values())
    assert needed <= rest <= needed + 3 * 72


def test_the_bytes_set_aside_hold_biases_that_layers_gain(tmp_path: Path) -> None:
    graph = opened(tmp_path)
    for node in graph.nodes:
        if node.op_type in ("LSTM", "Gemm"):
            node.input[3 if node.op_type == "LSTM" else 2] = ""
    weights = weights_of(graph)
    asked = choose("W8A16", weights)
    corrections = [Correction("R", np.ones(144, np.float32), None), Correction("V", np.ones(3, np.float32), None)]
    rest = bytes_of_the_rest(graph, weights, asked, corrections)
    written, made = with_codes(graph, weights, replace(all_nearest(asked), corrections=corrections))
    needed = written.model.ByteSize() - sum(bytes_of(one.codes.shape, one.precision) for one in made.values())
    assert needed <= rest <= needed + 3 * 72
    assert rest >= bytes_of_the_rest(graph, weights, asked) + 4 * (2 * 144 + 3)


def test_ranges_are_described_for_quantized_weights_only(tmp_path: Path) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    written, made = with_codes(graph, weights, all_nearest(choose({"V": "float32"}, weights)))
    describe(written, made, {"R": np.float32(0.25), "V": np.float32(1)})
    assert fields(written)["activation_ranges"] == {"R": 0.25}


def test_stored_types_are_those_of_the_precisions(tmp_path: Path) -> None:
    graph = opened(tmp_path)
    weights = weights_of(graph)
    asked = choose({"W": "W4A16", "R": "W16A16"}, weights)
    written, _ = with_codes(graph, weights, all_nearest(asked))
    types = {tensor.name: tensor.data_type for tensor in written.model.graph.initializer}
    assert [types[name] for name in ("W.int4", "R.int16", "V.int8")] == [
        TensorProto.INT4,
        TensorProto.INT16,
        TensorProto.INT8,
    ]

"""A graph finds constants, neighbours and metadata, and reads no other files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ContractError, ModelError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.nodes import attributes, label
from tidegate.runtime.load import load
from tools.onnx_files import write_lstm

VALUES = np.array([[1.5, -2.0], [0.25, 4.0]], np.float32)


def graph_of(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), **opsets: int) -> Graph:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", 2])
    graph = helper.make_graph(nodes, "g", [value], [], tensors)
    imports = [helper.make_opsetid(domain.replace("_", "."), version) for domain, version in opsets.items()]
    return Graph(helper.make_model(graph, opset_imports=imports))


def constant(**value: Any) -> onnx.NodeProto:  # noqa: ANN401
    return helper.make_node("Constant", [], ["k"], **value)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (constant(value=numpy_helper.from_array(VALUES)), VALUES),
        (constant(value=numpy_helper.from_array(np.array(-1))), np.array(-1)),
        (constant(value_float=0.5), np.array(0.5, np.float32)),
        (constant(value_floats=[0.5, 2.0]), np.array([0.5, 2.0], np.float32)),
        (constant(value_int=-1), np.array(-1)),
        (constant(value_ints=[1, 2, 3]), np.array([1, 2, 3])),
    ],
)
def test_constant_node_has_the_value_that_it_states(node: onnx.NodeProto, expected: Array) -> None:
    found = graph_of(node).constant("k")
    assert found is not None
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(
    "node", [constant(value_string="text"), constant(value_strings=["a"]), helper.make_node("Constant", [], ["k"])]
)
def test_constant_node_without_numbers_has_no_value(node: onnx.NodeProto) -> None:
    assert graph_of(node).constant("k") is None


@pytest.mark.parametrize("kind", ["initializer", "node"])
def test_constant_is_found_through_identities(kind: str) -> None:
    tensor = numpy_helper.from_array(VALUES, "k")
    chain = [helper.make_node("Identity", [a], [b]) for a, b in (("k", "k1"), ("k1", "k2"), ("k2", "k3"))]
    graph = graph_of(*chain, tensors=(tensor,)) if kind == "initializer" else graph_of(constant(value=tensor), *chain)
    np.testing.assert_array_equal(graph.constant("k3"), VALUES)


@pytest.mark.parametrize("name", ["x", "y", "z", "absent", ""])
def test_input_and_what_is_computed_are_not_constant(name: str) -> None:
    nodes = helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["k"], ["z"])
    assert graph_of(constant(value_float=1.0), *nodes).constant(name) is None


def test_identities_in_a_circle_are_not_constant() -> None:
    """Such a file is not ONNX, but the search must still end."""
    circle = [helper.make_node("Identity", [a], [b]) for a, b in (("a", "b"), ("b", "a"))]
    assert graph_of(*circle).constant("a") is None


def test_neighbours_of_a_value() -> None:
    graph = graph_of(
        helper.make_node("Mul", ["x", "x"], ["y"], name="square"),
        helper.make_node("Add", ["y", "x"], ["z"], name="sum"),
    )
    assert [node.name for node in graph.nodes] == ["square", "sum"]
    assert graph.producer("x") is None
    assert graph.producer("z") == graph.model.graph.node[1]
    assert [node.name for node in graph.consumers("x")] == ["square", "sum"]
    assert [node.name for node in graph.consumers("y")] == ["sum"]
    assert graph.consumers("z") == []
    reader = graph.only_reader("y")
    assert reader is not None
    assert reader.name == "sum"
    assert graph.only_reader("x") is None  # two nodes read it
    assert graph.only_reader("z") is None  # an output of the graph
    assert graph.sources_of(["z"]) == {"x", "y", "z"}
    assert graph.sources_of(["z"], ends=["y"]) == {"x", "z"}


def test_metadata_is_set_once_a_key() -> None:
    graph = graph_of()
    assert graph.metadata("a") is None
    for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
        graph.set_metadata(key, value)
    assert {p.key: p.value for p in graph.model.metadata_props} == {"a": "3", "b": "2"}
    assert len(graph.model.metadata_props) == 2
    assert graph.metadata("a") == "3"


def test_operator_set_is_the_standard_one() -> None:
    assert graph_of(com_example=7, ai_onnx=21).opset() == 21
    model = onnx.ModelProto(opset_import=[helper.make_opsetid("com.example", 7), helper.make_opsetid("", 18)])
    assert Graph(model).opset() == 18
    assert Graph(onnx.ModelProto()).opset() == 0


def test_attributes_and_names_for_messages() -> None:
    node = helper.make_node("LSTM", [], ["y"], direction="forward", hidden_size=4, activations=["Tanh"])
    assert attributes(node) == {"direction": "forward", "hidden_size": 4, "activations": [b"Tanh"]}
    assert label(node) == "LSTM 'y'"
    node.name = "lstm"
    assert label(node) == "LSTM 'lstm'"


def test_saved_graph_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    graph.set_metadata("a", "1")
    graph.save(tmp_path / "again.onnx")
    assert Graph.load(tmp_path / "again.onnx").model == graph.model


def test_contract_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    assert graph.contract.inputs[0].name == "x"
    graph.set_metadata("tidegate.contract", "{")
    with pytest.raises(ContractError, match=r"contract: not JSON \(.*\); export the model again"):
        graph.contract  # noqa: B018


def outside(name: str) -> onnx.TensorProto:
    """Return a tensor whose 32 bytes are in the file `secret` of the current folder."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    return tensor


def test_weights_in_another_file_are_refused_in_a_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch has its own initializers; onnxruntime would add the content of the file to the answer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    value = helper.make_tensor_value_info("leak", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["W2"], ["leak"])], "b", [], [value], [outside("W2")])
    nodes = [
        helper.make_node("Constant", [], ["true"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["true"], ["leaked"], then_branch=branch, else_branch=branch),
    ]
    write_lstm(tmp_path / "m.onnx", nodes=nodes)
    with pytest.raises(ModelError, match="'W2' keeps its data in another file"):
        load(tmp_path / "m.onnx", "onnxruntime")


def damaged(tensor: onnx.TensorProto, how: str) -> None:
    match how:
        case "too few bytes":
            tensor.raw_data = b"1234"
        case "an unknown type":
            tensor.data_type = 99
        case "a huge shape":
            tensor.dims[0] = 2**40


@pytest.mark.parametrize("how", ["too few bytes", "an unknown type", "a huge shape"])
def test_tensor_that_is_damaged_is_refused(tmp_path: Path, how: str) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    graph = Graph.load(tmp_path / "m.int8.onnx")
    damaged(next(t for t in graph.model.graph.initializer if t.name == "W.int8"), how)
    graph.save(tmp_path / "m.int8.onnx")
    try:
        load(tmp_path / "m.int8.onnx")
    except ModelError:
        return
    pytest.fail("loaded")


@pytest.mark.parametrize("op", ["Identity", "Transpose", "Squeeze", "MatMul", "LSTM"])
def test_node_without_inputs_is_refused(tmp_path: Path, op: str) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    graph = Graph.load(tmp_path / "m.int8.onnx")
    graph.model.graph.node.append(onnx.NodeProto(op_type=op, output=["odd"]))
    graph.save(tmp_path / "m.int8.onnx")
    with pytest.raises(ModelError):
        load(tmp_path / "m.int8.onnx")

"""Opening a foreign file: options become constants, branches are resolved, and every change is reported."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export import lift
from tidegate.export.foreign.opening import FrameSize, Opened, open_file
from tidegate.runtime.errors import ContractError, ModelError
from tidegate.runtime.load import load
from tools import foreign_files
from tools.graphs import floats, run


def _open(model: onnx.ModelProto, frame: int | None = None, context: int = 0, **values: float) -> Opened:
    return open_file(model, values, None, FrameSize(frame, context))


def _with_rate() -> onnx.ModelProto:
    """Return a file that doubles its signal if the input `rate` is 16000."""
    model = foreign_files.with_states()
    for node in model.graph.node:
        node.input[:] = ["chosen" if name == "x" else name for name in node.input]
    branches = [
        helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
        for name, node in (
            ("doubled", helper.make_node("Add", ["x", "x"], ["doubled"])),
            ("same", helper.make_node("Identity", ["x"], ["same"])),
        )
    ]
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.INT64, []))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(16000), "wide"))
    first = [
        helper.make_node("Equal", ["rate", "wide"], ["is_wide"]),
        helper.make_node("If", ["is_wide"], ["chosen"], "choice", then_branch=branches[0], else_branch=branches[1]),
    ]
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@pytest.mark.parametrize(("rate", "doubles"), [(16000, True), (8000, False)])
def test_an_option_becomes_a_constant_and_chooses_its_branch(rate: int, doubles: bool) -> None:
    opened = _open(_with_rate(), rate=rate)
    kinds = [node.op_type for node in opened.model.graph.node]
    assert "If" not in kinds
    assert kinds.count("Add") == 1 + doubles  # one is the head's
    assert [item.name for item in opened.model.graph.input] == ["x", "h0", "c0"]
    assert opened.fixed[0].value.item() == rate
    assert opened.done == (f"Input rate is constant: {rate}.", "Opened 1 conditions, the first of them If 'choice'.")


def test_the_original_is_kept_as_it_was() -> None:
    model = _with_rate()
    before = model.SerializeToString()
    opened = _open(model, rate=8000)
    assert opened.original == before
    assert opened.quantized is None


def test_weights_among_the_inputs_are_no_inputs() -> None:
    model = foreign_files.with_states()
    for tensor in list(model.graph.initializer):
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    opened = _open(model)
    assert [item.name for item in opened.model.graph.input] == ["x", "h0", "c0"]
    assert opened.roles.signal == "x"


@pytest.mark.parametrize("opset", [7, 8])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_row_57_a_file_of_ir_version_3_is_lifted(tmp_path: Path, op: str, opset: int) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    shapes = {"W": (1, gates * 5, 6), "R": (1, gates * 5, 5), "B": (1, gates * 10), "F": (5, 3)}
    weights = [onnx.numpy_helper.from_array(floats(*shape), name) for name, shape in shapes.items()]
    options: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}  # the form that the engine runs
    nodes = [
        helper.make_node(op, ["x", "W", "R", "B"], ["Y"], "rnn", hidden_size=5, **options),
        helper.make_node("Squeeze", ["Y"], ["S"], "sq", axes=[1]),
        helper.make_node("MatMul", ["S", "F"], ["y"], "fc"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 1, 6])]
    inputs += [helper.make_tensor_value_info(w.name, TensorProto.FLOAT, w.dims) for w in weights]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 1, 3])
    graph = helper.make_graph(nodes, "old", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "old.onnx")
    x = floats(9, 1, 6)
    lift(tmp_path / "old.onnx", tmp_path / "new.onnx")
    seen = load(tmp_path / "new.onnx").stream().push(x[:, 0])
    np.testing.assert_allclose(np.asarray(seen), run(model, {"x": x})["y"][:, 0], atol=1e-6)


def test_the_caller_gives_the_size_of_a_frame_that_the_file_leaves_open() -> None:
    model = foreign_files.one_frame()
    model.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    opened = _open(model, frame=3, context=2)
    assert opened.model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 5
    assert opened.context == 2


def test_a_size_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(ContractError, match="takes 5 values per frame, but frame 4 and context 3 make 7"):
        _open(foreign_files.one_frame(), frame=4, context=3)


def test_a_value_for_no_input_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no input 'sr' to set; the file has x, h0, c0"):
        _open(foreign_files.with_states(), sr=16000)

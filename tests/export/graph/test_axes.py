"""Finding the axes of time and batch."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.graph.axes import (
    Axes,
    find_axes,
    output_ports,
    set_dims,
    shape_of,
    signal_input,
    sized_model,
    trace_dims,
)
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ContractError

MakeGraph = Callable[..., onnx.ModelProto]


def _before(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Put nodes between x and the LSTM; the last node makes `signal`."""
    lstm = next(node for node in model.graph.node if node.op_type == "LSTM")
    lstm.input[0] = "signal"
    place = list(model.graph.node).index(lstm)
    for i, node in enumerate(nodes):
        model.graph.node.insert(place + i, node)
    return model


def _constant(name: str, values: list[int]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, np.int64)))


def test_time_and_batch_are_found_from_the_input_of_the_lstm(make_graph: MakeGraph) -> None:
    model = make_graph()
    assert find_axes(model, trace_dims(model, (0, 1))) == Axes(time=0, batch=1)
    turned = _before(make_graph(), helper.make_node("Transpose", ["x"], ["signal"], perm=[1, 0, 2]))
    assert find_axes(turned, trace_dims(turned, (0, 1))) == Axes(time=1, batch=0)


def test_an_unbatched_sequence_has_no_batch_axis(make_graph: MakeGraph) -> None:
    model = _before(make_graph(), _constant("axis", [1]), helper.make_node("Unsqueeze", ["x", "axis"], ["signal"]))
    set_dims(signal_input(model), ("axis0", 3))
    assert find_axes(model, trace_dims(model, (0,))) == Axes(time=0, batch=None)


def test_a_convolution_that_keeps_the_length_is_looked_through(make_graph: MakeGraph) -> None:
    model = _before(
        make_graph(),
        helper.make_node("Transpose", ["x"], ["channels"], perm=[1, 2, 0]),
        helper.make_node("Conv", ["channels", "kernel"], ["filtered"], pads=[1, 1]),
        helper.make_node("Transpose", ["filtered"], ["signal"], perm=[2, 0, 1]),
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 3, 3), np.float32), "kernel"))
    assert find_axes(model, trace_dims(model, (0, 1))) == Axes(time=0, batch=1)


def test_a_fixed_length_is_refused(make_graph: MakeGraph) -> None:
    shape = _constant("fixed", [20, -1, 3])
    model = _before(make_graph(), shape, helper.make_node("Reshape", ["x", "fixed"], ["signal"]))
    with pytest.raises(ContractError, match=r"reads \[\?\] as.*its frames are not those of the input"):
        find_axes(model, trace_dims(model, (0, 1)))


def test_a_batch_folded_with_something_else_is_refused(make_graph: MakeGraph) -> None:
    doubled = helper.make_node("Concat", ["x", "x"], ["signal"], axis=1)
    model = _before(make_graph(), doubled)
    message = r"reads \[axis0, \?, 3\].*its batch is not that of the input, .*; do not mix the batch axis with others"
    with pytest.raises(ContractError, match=message):
        find_axes(model, trace_dims(model, (0, 1)))
    assert find_axes(make_graph(), trace_dims(make_graph(), (0, 1))) == Axes(time=0, batch=1)


def test_layers_along_different_axes_are_refused(make_graph: MakeGraph) -> None:
    model = make_graph(("/a/LSTM", "/b/LSTM"), hidden=[4, 4])
    nodes = model.graph.node
    second = [node for node in nodes if node.op_type == "LSTM"][1]
    second.input[0] = "turned"
    place = list(nodes).index(second)
    nodes.insert(place, helper.make_node("Transpose", ["y0"], ["turned"], perm=[1, 0, 2]))
    with pytest.raises(ContractError, match=r"'/b/LSTM' runs along axis 1 .*'/a/LSTM' along axis 0.*batch_first"):
        find_axes(model, trace_dims(model, (0, 1)))


def test_the_signal_is_the_first_input_and_static_inputs_follow_its_axes(make_graph: MakeGraph) -> None:
    model = make_graph()
    speaker = helper.make_tensor_value_info("speaker", TensorProto.FLOAT, ["axis1", 4])
    model.graph.input.append(speaker)
    assert signal_input(model).name == "x"
    assert sized_model(model, "x", {0: 7, 1: 3})[1]["speaker"] == (3, 4)
    assert sized_model(model, "x", {0: 7})[1]["speaker"] == (1, 4)
    del model.graph.input[:]
    with pytest.raises(ContractError, match="the graph has no input, wanted one signal"):
        signal_input(model)


@pytest.mark.parametrize(
    ("dims", "port"),
    [
        (("axis0", "axis1", 4), Port("y", 0, 1)),
        (("axis1", 4, "axis0"), Port("y", 2, 0)),
        (("axis1", 4), Port("y", None, 0)),
    ],
)
def test_output_ports(make_graph: MakeGraph, dims: tuple[int | str, ...], port: Port) -> None:
    assert output_ports(make_graph(), {"y": dims}, Axes(0, 1)) == (port,)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        (("axis0", None), r"'y' has shape \[time, \?\], wanted fixed sizes, batch once and time at most once"),
        (("axis1", "axis0", "axis0"), r"'y' has shape \[batch, time, time\]"),
        (("axis0", 4), r"'y' has shape \[time, 4\], wanted .*keep the batch axis"),
    ],
)
def test_output_shapes_that_are_not_known_are_refused(
    make_graph: MakeGraph, dims: tuple[int | str | None, ...], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        output_ports(make_graph(), {"y": dims}, Axes(0, 1))


def test_dims_are_written_and_read() -> None:
    item = helper.make_tensor_value_info("x", 1, None)
    set_dims(item, ("batch", 0, None, 3))
    assert shape_of(item) == ("batch", 0, None, 3)

"""A bidirectional node and the two nodes in its place compute the same values."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from tidegate.export.rewrites.directions import split_directions
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.nodes import attributes
from tools.graphs import floats, model_of

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, FEATURES = 4, 3


def _run(model: onnx.ModelProto, x: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def _both(op: str, nodes: list[onnx.NodeProto], outputs: list[str], **options: Any) -> onnx.ModelProto:  # noqa: ANN401  attributes
    """Return a bidirectional node over x [time, batch, FEATURES], followed by some nodes."""
    rows = GATES[op] * HIDDEN
    tensors = {
        "w": floats(2, rows, FEATURES),
        "r": floats(2, rows, HIDDEN, seed=1),
        "b": floats(2, 2 * rows, seed=2),
        "shape": np.array([0, 0, -1]),
        "first": np.array(0),
        "second": np.array(1),
    }
    made = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(
        op, ["x", "w", "r", "b"], made, "rnn", hidden_size=HIDDEN, direction="bidirectional", **options
    )
    return model_of([node, *nodes], {"x": ["time", "batch", FEATURES]}, outputs, tensors)


def _same(model: onnx.ModelProto) -> None:
    """Split the directions of a model, and compare its answers before and after."""
    x = floats(7, 2, FEATURES, seed=3)
    wanted = _run(model, x)
    split_directions(model)
    for name, values in _run(model, x).items():
        np.testing.assert_allclose(values, wanted[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("LSTM", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {}),
        ("RNN", {"activations": ["Relu", "Tanh"]}),
        ("RNN", {"activations": ["Elu", "LeakyRelu"], "activation_alpha": [0.5, 0.25], "clip": 0.5}),
        ("LSTM", {"input_forget": 1, "clip": 0.5}),
    ],
)
def test_both_directions_give_the_same_answers_as_two_nodes(op: str, options: dict[str, object]) -> None:
    model = _both(op, [], ["y", "h", "c"][: 3 if op == "LSTM" else 2], **options)
    _same(model)
    cells = [node for node in model.graph.node if node.op_type == op]
    assert [(node.name, attributes(node)["direction"]) for node in cells] == [
        ("rnn", "forward"),
        ("rnn_reverse", "reverse"),
    ]


def test_answers_merged_by_a_reshape_are_joined_along_the_features() -> None:
    nodes = [
        helper.make_node("Transpose", ["y"], ["moved"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["moved", "shape"], ["merged"]),
    ]
    model = _both("GRU", nodes, ["merged"])
    _same(model)
    assert not {"Transpose", "Reshape"} & {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_single_final_state_does_not_need_the_other_direction(which: str) -> None:
    model = _both("LSTM", [helper.make_node("Gather", ["h", which], ["last"], axis=0)], ["last"])
    _same(model)
    assert [attributes(node)["direction"] for node in model.graph.node if node.op_type == "LSTM"] == [
        "forward" if which == "first" else "reverse"
    ]


def test_options_of_each_direction_are_split_and_others_kept() -> None:
    options = {"activations": ["HardSigmoid", "Tanh", "Tanh"] * 2, "activation_alpha": [0.2, 0.3], "clip": 0.5}
    model = _both("LSTM", [], ["y"], **options)
    model.graph.initializer.append(onnx.numpy_helper.from_array(floats(2, 3 * HIDDEN, seed=4), "p"))
    model.graph.node[0].input.extend(["", "", "", "p"])
    _same(model)
    seen = [attributes(node) for node in model.graph.node if node.op_type == "LSTM"]
    assert [len(one["activations"]) for one in seen] == [3, 3]
    np.testing.assert_allclose([one["activation_alpha"] for one in seen], [[0.2], [0.3]])
    assert [one["clip"] for one in seen] == [0.5, 0.5]


@pytest.mark.parametrize("direction", ["bidirectional", "reverse"])
def test_a_backward_node_names_its_answers(direction: str) -> None:
    """A stream sees by them when a final state is there."""
    model = _both("GRU", [], ["h"])
    node = model.graph.node[0]
    node.output[0] = ""
    if direction == "reverse":
        next(a for a in node.attribute if a.name == "direction").s = b"reverse"
        for tensor in model.graph.initializer:
            if tensor.name in "wrb":
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)[:1], tensor.name))
    _same(model)
    assert all(one.output[0] for one in model.graph.node if one.op_type == "GRU")


def test_final_states_of_both_directions_are_joined_from_answers_that_can_wait() -> None:
    model = _both("RNN", [], ["h"])
    _same(model)
    read = {name for node in model.graph.node for name in node.input}
    forward, backward = (node for node in model.graph.node if node.op_type == "RNN")
    assert forward.output[1] not in read
    assert backward.output[1] in read


def test_a_start_that_is_computed_is_refused() -> None:
    model = _both("GRU", [], ["y"])
    model.graph.node[0].input.extend(["", "made"])
    model.graph.node.insert(0, helper.make_node("Relu", ["h0"], ["made"]))
    with pytest.raises(UnsupportedError, match=r"GRU 'rnn': initial_h comes from Relu 'made', but its backward"):
        split_directions(model)


def test_a_model_of_one_direction_does_not_change() -> None:
    model = _both("GRU", [], ["y"])
    del model.graph.node[0].attribute[:]
    before = model.SerializeToString()
    split_directions(model)
    assert model.SerializeToString() == before


def test_weights_that_vary_are_refused() -> None:
    model = _both("GRU", [], ["y"])
    model.graph.node.insert(0, helper.make_node("Relu", ["r"], ["made"]))
    model.graph.node[1].input[2] = "made"
    with pytest.raises(UnsupportedError, match="GRU 'rnn': its weight 'made' is not constant, wanted a constant"):
        split_directions(model)


def test_a_state_from_an_argument_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="'rnn': its initial state comes from an argument, but its backward"):
        split_directions(_both("GRU", [], ["y"]), {("rnn", "h"): "h0"})

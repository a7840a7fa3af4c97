"""A proof must fail if a file is wrong: each test puts a fault into a good file on purpose."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.export.proof.comparison import Check, Judge
from tidegate.export.proof.loaded import Loaded, load_everywhere
from tidegate.export.proof.proof import Proof
from tidegate.export.proof.rounding import Rounding
from tidegate.export.proof.runner import Runner
from tidegate.export.states.recurrent_states import lift_states
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import ExportError
from tidegate.runtime.graph.graph import Graph

MakeGraph = Callable[..., onnx.ModelProto]
Array = npt.NDArray[np.float32]

EXAMPLE = np.random.default_rng(0).standard_normal((14, 2, 3)).astype(np.float32)
NAMES = ("/lstm/LSTM", "/lstm/LSTM_1")


def _contract(states: tuple[State, ...]) -> Contract:
    return Contract((Port("x", 0, 1),), (Port("y", 0, 1),), states)


def _prove(
    model: onnx.ModelProto, states: tuple[State, ...], original: onnx.ModelProto, loaded: Loaded | None = None
) -> tuple[Check, ...]:
    """Prove a lifted model against the model before lifting."""
    reference = Runner(original.SerializeToString(), _contract(()))
    runner = Runner(model.SerializeToString(), _contract(states))
    return Proof(runner, reference.run, EXAMPLE, Judge(Rounding(runner)), loaded or Loaded()).run()


def test_a_good_file_passes(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    checks = _prove(model, lift_states(model), make_graph(NAMES))
    assert all(check.passed for check in checks)
    assert sum(check.must_differ for check in checks) == 5


def test_a_wrong_weight_fails_at_once(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    states = lift_states(model)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "onnx::R1")
    changed = numpy_helper.to_array(weights).copy()
    changed[0, 0, 0] += 0.1
    weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
    with pytest.raises(ExportError, match=r"whole, at the example: output 'y' at \[\d+, \d, \d\], frame \d+: seen"):
        _prove(model, states, make_graph(NAMES))


def test_row_23_swapped_h_and_c_fail(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    h, c = lift_states(model)
    states = (replace(h, output=c.output), replace(c, output=h.output))
    with pytest.raises(ExportError, match=r"in chunks of 1 \(14 chunks\): output 'y' at \[1, .*, frame 1: seen"):
        _prove(model, states, make_graph(NAMES))


def test_swapped_layers_fail(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    states = lift_states(model)
    concat = next(node for node in model.graph.node if list(node.output) == ["lstm.h_out"])
    concat.input[:] = reversed(concat.input)
    with pytest.raises(ExportError, match="in chunks of 1"):
        _prove(model, states, make_graph(NAMES))


def test_a_state_that_is_not_connected_fails(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    states = lift_states(model)
    for node in model.graph.node:
        node.input[:] = ["" if name == "lstm.c_in.1" else name for name in node.input]
    with pytest.raises(ExportError, match="in chunks of 1"):
        _prove(model, states, make_graph(NAMES))


def test_a_state_that_only_looks_connected_fails(make_graph: MakeGraph) -> None:
    """If the forget gate is always shut, c is carried but has no effect."""
    graphs = [make_graph(), make_graph()]
    for graph in graphs:
        bias = next(tensor for tensor in graph.graph.initializer if tensor.name == "onnx::B0")
        values = numpy_helper.to_array(bias).copy()
        values[0, 8:12] = -200  # the order of gates is i, o, f, c
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    states = lift_states(graphs[0])
    with pytest.raises(ExportError, match=r"lstm.c_in zeroed in layer 0: the answer changes by .*, wanted more than"):
        _prove(graphs[0], states, graphs[1])


def test_a_file_whose_stream_has_other_answers_is_refused(make_graph: MakeGraph) -> None:
    """As it is loaded, the file has another weight."""
    model = make_graph(NAMES)
    states = lift_states(model)
    Graph(model).set_metadata(METADATA_KEY, _contract(states).to_json())
    other = onnx.ModelProto()
    other.CopyFrom(model)
    weights = next(tensor for tensor in other.graph.initializer if tensor.name == "onnx::R1")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.01), weights.name))
    loaded = load_everywhere(other.SerializeToString(), "m.onnx")
    with pytest.raises(ExportError, match=r"streamed frame by frame on native: output 'y' at .*, frame 1: seen"):
        _prove(model, states, make_graph(NAMES), loaded)


def test_a_file_is_streamed_on_each_backend(make_graph: MakeGraph) -> None:
    model = make_graph(NAMES)
    states = lift_states(model)
    Graph(model).set_metadata(METADATA_KEY, _contract(states).to_json())
    checks = _prove(model, states, make_graph(NAMES), load_everywhere(model.SerializeToString(), "m.onnx"))
    names = [check.name for check in checks if check.name.startswith("streamed")]
    assert names == ["streamed frame by frame on native", "streamed frame by frame on onnxruntime"]


def test_an_answer_of_another_shape_fails(make_graph: MakeGraph) -> None:
    model = make_graph()
    states = lift_states(model)
    squeeze = model.graph.node[-1]
    model.graph.node[-1].CopyFrom(helper.make_node("Identity", [squeeze.input[0]], ["y"]))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ExportError, match=r"output 'y' has shape \[14, 1, 2, 4\], wanted \[14, 2, 4\]"):
        _prove(model, states, make_graph())

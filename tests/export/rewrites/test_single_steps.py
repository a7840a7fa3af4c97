"""Written steps as markers, and markers as nodes of one frame."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from tidegate.export.graph.axes import Dims
from tidegate.export.graph.editing import remove_dead
from tidegate.export.graph.markers import WRITTEN_STEP, forget_markers, is_marker
from tidegate.export.rewrites.single_steps import Call, mark_steps, write_single_steps
from tidegate.export.written_cells.recognizer import recognize
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import floats
from tools.written_steps import Style, gru, lstm, run, shapes_of, states_of


def marked(model: onnx.ModelProto, dims: Mapping[str, Dims] | None = None) -> onnx.ModelProto:
    """Return a copy of a step whose next states a marker computes."""
    made, states = onnx.ModelProto(), states_of(model)
    made.CopyFrom(model)
    cell = recognize(Graph(model), shapes_of(model), states)
    known: dict[str, Dims] = {"x": (1, 3)}
    known |= {name: (1, 4) for pair in states.items() for name in pair}
    mark_steps(made, cell, [Call(["x"], cell.states, [states[name] for name in cell.states])], known | dict(dims or {}))
    remove_dead(made)
    return made


@pytest.mark.parametrize("model", [lstm(Style()), lstm(Style(), peepholes=True), gru(Style(), before=False)])
def test_a_step_becomes_a_marker_and_then_a_node_of_one_frame(model: onnx.ModelProto) -> None:
    made = marked(model)
    assert [is_marker(node, WRITTEN_STEP) for node in made.graph.node if node.op_type != "Identity"] == [True]
    write_single_steps(made)
    forget_markers(made)
    feeds = {name: floats(*shape) for name, shape in shapes_of(model).items()}
    seen, wanted = run(made, feeds), run(model, feeds)
    for name, values in wanted.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-5, atol=1e-6)


def test_axes_of_size_1_are_dropped_and_added_again() -> None:
    made = marked(gru(Style(), before=True), {"h": (1, "batch", 1, 4), "h_next": (1, 1, 4), "x": (3,)})
    found = [node.op_type for node in made.graph.node if node.op_type != "Identity"]
    assert sorted(found) == ["Squeeze", "Step", "Unsqueeze", "Unsqueeze"]
    squeeze = next(node for node in made.graph.node if node.op_type == "Squeeze")
    axes = Graph(made).constant(squeeze.input[1])
    assert axes is not None
    assert axes.tolist() == [0, 2]


def test_values_along_two_axes_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"'h' has shape \[1, 2, 2\], wanted its values along the last axis"):
        marked(gru(Style(), before=True), {"h": (1, 2, 2)})

"""The body of a Scan as a step: values by position, axes and directions of its sequences."""

from collections.abc import Sequence

import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.foreign.bodies.scan import scan_step
from tidegate.export.foreign.bodies.step import Answers, Carried, Frames
from tidegate.runtime.errors import UnsupportedError
from tools.graphs import model_of


def _model(**options: Sequence[int]) -> onnx.ModelProto:
    items = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])
        for name in ("h", "a", "b", "next", "sum", "difference")
    }
    nodes = [
        helper.make_node("Add", ["h", "a"], ["next"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["next", "b"], ["difference"]),
    ]
    inputs, outputs = ([items[name] for name in names] for names in (("h", "a", "b"), ("next", "sum", "difference")))
    body = helper.make_graph(nodes, "body", inputs, outputs)
    node = helper.make_node("Scan", ["start", "as", "bs"], ["final", "", "answers"], "scan", body=body)
    node.attribute.extend(
        helper.make_attribute(key, value) for key, value in (("num_scan_inputs", 2), *options.items())
    )
    inputs_of: dict[str, Sequence[int | str | None]] = {"start": [1, 2], "as": ["time", 1, 2], "bs": [1, "time", 2]}
    return model_of([node], inputs_of, ["final", "answers"])


def test_values_by_position() -> None:
    model = _model(scan_input_axes=[0, 1], scan_output_axes=[0, 1])
    step = scan_step(model, model.graph.node[0])
    assert step.frames == (Frames("as", "a", 0), Frames("bs", "b", 1))
    assert step.carried == (Carried("start", "h", "next", "final"),)
    assert step.answers == (Answers("difference", "answers", 1),)
    assert not step.backward


def test_directions() -> None:
    model = _model(scan_input_directions=[1, 1], scan_output_directions=[0, 1])
    step = scan_step(model, model.graph.node[0])
    assert step.backward
    assert step.answers[0].turned


def test_sequences_in_both_directions_are_refused() -> None:
    model = _model(scan_input_directions=[0, 1])
    message = (
        r"Scan 'scan': scan_input_directions = \[0, 1\], wanted the same for all: .*; write one Scan for each direction"
    )
    with pytest.raises(UnsupportedError, match=message):
        scan_step(model, model.graph.node[0])

"""The body of a Loop as a step: the frames that its counters take, and conditions that only count."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.foreign.bodies.loop import loop_step
from tidegate.export.foreign.bodies.step import tidied
from tidegate.runtime.errors import UnsupportedError
from tools import loop_files


def _node(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Loop")


@pytest.mark.parametrize("reads", ["scalar", "list", "slice", "sequence"])
@pytest.mark.parametrize("backward", [False, True])
def test_frames_are_those_of_the_sequence(reads: str, *, backward: bool) -> None:
    model = loop_files.loop(loop_files.rnn, reads=reads, backward=backward)
    step = tidied(loop_step(model, _node(model)), {item.name for item in model.graph.output} | {"answers"})
    assert [(frames.outer, frames.axis) for frames in step.frames] == [(model.graph.node[0].output[0], 0)]
    assert step.backward == backward
    assert [each.inside for each in step.carried] == ["state_0"]


def _with_node(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Put nodes in front of the body of the Loop."""
    body = next(attribute.g for attribute in _node(model).attribute if attribute.name == "body")
    kept = list(body.node)
    del body.node[:]
    body.node.extend([*nodes, *kept])
    return model


def test_a_condition_on_values_is_refused() -> None:
    model = loop_files.loop(loop_files.rnn)
    body = next(attribute.g for attribute in _node(model).attribute if attribute.name == "body")
    body.node.append(helper.make_node("ReduceMax", ["state_0"], ["largest"], "largest", keepdims=0))
    body.node.append(helper.make_node("Less", ["largest", "largest"], ["small"], "small"))
    body.output[0].name = "small"
    message = (
        r"Loop 'model/layer/while_loop': its condition comes from Less 'small', wanted the number of steps only; "
        r"let it run once per frame: `for t in range\(x.shape\[1\]\)`, without a condition"
    )
    with pytest.raises(UnsupportedError, match=message):
        loop_step(model, _node(model))


def test_a_condition_on_a_number_that_changes_is_refused() -> None:
    model = loop_files.loop(loop_files.rnn)
    body = next(attribute.g for attribute in _node(model).attribute if attribute.name == "body")
    body.node.append(helper.make_node("ReduceMax", ["state_0"], ["largest"], "largest", keepdims=0))
    body.node.append(helper.make_node("Cast", ["counter"], ["steps"], to=onnx.TensorProto.FLOAT))
    body.node.append(helper.make_node("Less", ["steps", "largest"], ["small"], "small"))
    body.output[0].name = "small"
    with pytest.raises(UnsupportedError, match=r"its condition comes from Less 'small', wanted the number of steps"):
        loop_step(model, _node(model))


def test_steps_that_read_in_both_directions_are_refused() -> None:
    model = loop_files.loop(loop_files.rnn)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((), 19, np.int32), "last"))
    x = model.graph.node[0].output[0]
    nodes = [
        helper.make_node("Sub", ["last", "counter"], ["from_the_end"]),
        helper.make_node("Gather", [x, "from_the_end"], ["mirrored"], "mirror"),
    ]
    message = r"'mirror' reads the frames from the last to the first, Gather .*; write one Loop for each direction"
    with pytest.raises(UnsupportedError, match=message):
        loop_step(_with_node(model, *nodes), _node(model))


def test_a_number_that_is_no_counter_takes_no_frame() -> None:
    """The counter grows by 2, so every other frame is read: the body reads the sequence itself."""
    model = loop_files.loop(loop_files.rnn, condition="given")
    body = next(attribute.g for attribute in _node(model).attribute if attribute.name == "body")
    later = body.output[1].name
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((), 1, np.int32), "more"))
    body.node.append(helper.make_node("Add", [later, "more"], ["twice"]))
    body.output[1].CopyFrom(helper.make_tensor_value_info("twice", TensorProto.INT32, []))
    assert loop_step(model, _node(model)).frames == ()

"""Markers of framing become frames of hops, with the hops before them in front."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tidegate.export.rewrites.frames import write_frames
from tools.graphs import run


def marked(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Return a trace over samples `x` with an output `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["axis0", "axis1"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(helper.make_graph(list(nodes), "g", [x], [y]), opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("before", [0, 3, 4, 9, -1])
def test_frames_overlap(before: int) -> None:
    model = marked(helper.make_node("Frames", ["x"], ["y"], "/f/Frames", domain="tidegate", before=before, hop=4))
    write_frames(model, "x", 4)
    x = np.arange(1, 41, dtype=np.float32).reshape(2, 20)
    (seen,) = run(model, {"x": x.reshape(2, 5, 4)}).values()
    long = np.pad(x, ((0, 0), (max(before, 0), 0)))[:, max(-before, 0) :]
    wanted = np.lib.stride_tricks.sliding_window_view(long, 4 + before, 1)[:, ::4]
    np.testing.assert_array_equal(seen, wanted)


def test_earlier_samples_go_over_the_ends_of_hops() -> None:
    model = marked(helper.make_node("Earlier", ["x"], ["y"], "/p/Earlier", domain="tidegate"))
    write_frames(model, "x", 4)
    x = np.arange(1, 21, dtype=np.float32).reshape(1, 20)
    (seen,) = run(model, {"x": x.reshape(1, 5, 4)}).values()
    np.testing.assert_array_equal(seen.reshape(1, -1), np.pad(x, ((0, 0), (1, 0)))[:, :-1])


def test_a_graph_over_frames_stays() -> None:
    model = marked(helper.make_node("Abs", ["x"], ["y"], "/Abs"))
    before = model.SerializeToString()
    write_frames(model, "x", None)
    assert model.SerializeToString() == before

"""Markers of framing become frames of hops, with the hops before them in front."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.rewrites.frames import write_frames
from tools.graphs import run


def marked(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Return a trace over samples `x` with an output `y`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["axis0", "axis1"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("tidegate", 1)]
    return helper.make_model(helper.make_graph(list(nodes), "g", [x], [y]), opset_imports=opsets, ir_version=10)


def frames_node(source: str, before: int, length: int) -> onnx.NodeProto:
    """Return a marker of frames, each 4 samples later than the one before."""
    sizes = {"before": before, "length": length}
    return helper.make_node("Frames", [source], ["y"], "/f/Frames", None, "tidegate", None, hop=4, **sizes)


@pytest.mark.parametrize("before", [0, 3, 4, 9, -1])
def test_frames_overlap(before: int) -> None:
    model = marked(frames_node("x", before=before, length=4 + before))
    write_frames(model, "x", 4)
    x = np.arange(1, 41, dtype=np.float32).reshape(2, 20)
    (seen,) = run(model, {"x": x.reshape(2, 5, 4)}).values()
    long = np.pad(x, ((0, 0), (max(before, 0), 0)))[:, max(-before, 0) :]
    wanted = np.lib.stride_tricks.sliding_window_view(long, 4 + before, 1)[:, ::4]
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(("before", "length"), [(0, 10), (0, 12), (3, 9), (5, 20), (6, 5)])
def test_frames_start_before_their_hop_and_reach_over_later_ones(before: int, length: int, batch: bool) -> None:
    """Zeros in front of a marker count as samples before; those after the end are zeros."""
    nodes = [helper.make_node("Pad", ["x", "zeros"], ["p"], "/Pad"), frames_node("p", before=0, length=length)]
    model = marked(*(nodes if before else [frames_node("x", before=0, length=length)]))
    sizes = [0, before, 0, 0] if batch else [before, 0]
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "zeros"))
    x = np.arange(1, 41, dtype=np.float32).reshape(2, 20)
    if not batch:
        del model.graph.input[0].type.tensor_type.shape.dim[0]
        x = x[0]
    write_frames(model, "x", 4)
    (seen,) = run(model, {"x": x.reshape(*x.shape[:-1], 5, 4)}).values()
    long = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, 2 * length)])
    wanted = np.lib.stride_tricks.sliding_window_view(long, length, -1)[..., : 5 * 4 : 4, :]
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

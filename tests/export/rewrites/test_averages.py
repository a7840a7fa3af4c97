"""Markers of running averages become RNNs without a function."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.rewrites.averages import write_averages
from tools.graphs import run


def test_an_average_follows_the_frames_from_its_start() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["axis0", "axis1", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    start = np.array([1, -2, 0.5], np.float32)
    marker = helper.make_node("Average", ["x", "start"], ["y"], "/norm/Average", domain="tidegate", momentum=0.25)
    graph = helper.make_graph([marker], "g", [x], [y], [numpy_helper.from_array(start, "start")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    write_averages(model)
    assert "RNN" in [node.op_type for node in model.graph.node]
    frames = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    (seen,) = run(model, {"x": frames}).values()
    average = start.astype(np.float64)
    for t in range(6):
        average = average + 0.25 * (frames[:, t] - average)
        np.testing.assert_allclose(seen[:, t], average, atol=1e-6)

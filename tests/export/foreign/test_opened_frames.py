"""The axis of frames of a file of fixed sizes becomes free, and its Reshapes follow it."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.input_roles import carried_parts
from tidegate.export.foreign.opened_frames import open_frames
from tidegate.export.graph.axes import shape_of
from tools.graphs import floats, model_of, run

TAIL = {"one": np.array([1]), "end": np.array([2**31]), "time": np.array([2])}


def file(frames: int = 1, first: str = "time") -> onnx.ModelProto:
    """Frames `[1, 3, frames, 4]`, a convolution with a cache of one frame, then a GRU for each band of 4.

    Args:
        frames: The frames of a run.
        first: What is first when streams, bands and frames fold: `bands`, or `time` for layers along the bands.
    """
    nodes = [
        helper.make_node("Relu", ["x"], ["signal"]),
        helper.make_node("Concat", ["cache", "signal"], ["joined"], axis=2),
        helper.make_node("Slice", ["joined", "one", "end", "time"], ["cache_out"]),
        helper.make_node("Conv", ["joined", "kernel"], ["conv"]),
        helper.make_node("Transpose", ["conv"], ["turned"], perm=[0, 2, 3, 1] if first == "time" else [0, 3, 2, 1]),
        helper.make_node("Reshape", ["turned", "folded"], ["rows"]),
        helper.make_node("Reshape", ["rows", "apart"], ["y"]),
    ]
    apart = [1, frames, 4, 3] if first == "time" else [1, 4, frames, 3]
    folded = [frames, 4, 3] if first == "time" else [4, frames, 3]
    tensors = {"kernel": floats(3, 3, 2, 1), "folded": np.array(folded), "apart": np.array(apart), **TAIL}
    nodes += [
        helper.make_node("Transpose", ["x"], ["steps4"], perm=[2, 0, 3, 1]),
        helper.make_node("Reshape", ["steps4", "steps3"], ["steps"]),
        helper.make_node("GRU", ["steps", "w", "r", "", "", "h"], ["", "h_out"], "gru", hidden_size=2),
    ]
    tensors |= {"steps3": np.array([frames, 4, 3]), "w": floats(1, 6, 3), "r": floats(1, 6, 2)}
    inputs = {"x": [1, 3, frames, 4], "cache": [1, 3, 1, 4], "h": [1, 4, 2]}
    return model_of(nodes, inputs, ["y", "cache_out", "h_out"], tensors)


@pytest.mark.parametrize("first", ["time", "bands"])
@pytest.mark.parametrize("frames", [1, 5])
def test_reshapes_follow_the_frames(frames: int, first: str) -> None:
    model = file(frames, first)
    if frames > 1:
        one = next(tensor for tensor in model.graph.initializer if tensor.name == "one")
        one.CopyFrom(onnx.numpy_helper.from_array(np.array([frames]), "one"))
    open_frames(model, "x", carried_parts(model))
    assert shape_of(model.graph.input[0]) == (1, 3, "frames", 4)
    x, h = floats(1, 3, 7, 4), np.zeros((1, 4, 2), np.float32)
    made = run(model, {"x": x, "cache": np.zeros((1, 3, 1, 4), np.float32), "h": h})["y"]
    single, cache, wanted = file(1, first), np.zeros((1, 3, 1, 4), np.float32), []
    for t in range(7):
        answers = run(single, {"x": x[:, :, t : t + 1], "cache": cache, "h": h})
        cache = answers["cache_out"]
        wanted.append(answers["y"])
    np.testing.assert_allclose(made, np.concatenate(wanted, 1 if first == "time" else 2), atol=1e-6)


def test_a_file_without_caches_and_bands_stays() -> None:
    model = file()
    before = model.SerializeToString()
    open_frames(model, "x", [])
    assert model.SerializeToString() == before


def test_a_signal_of_free_sizes_stays() -> None:
    model = file()
    parts = carried_parts(model)
    assert len(parts) == 2
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "T"
    before = model.SerializeToString()
    open_frames(model, "x", parts)
    assert model.SerializeToString() == before

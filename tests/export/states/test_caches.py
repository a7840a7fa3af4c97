"""Caches of convolutions: frames of an input that come before those of the signal, and come back from an output."""

import numpy as np
import onnx
from onnx import helper
from tidegate.export.states.caches import Cache, find_caches, put_zeros
from tidegate.export.states.routes import OTHER, number_inputs, still
from tools.graphs import floats, model_of, run

BOUNDS = {"one": np.array([1]), "end": np.array([2**31]), "time": np.array([2])}


def cached(frames: int = 1) -> onnx.ModelProto:
    """A convolution of three taps over frames `[1, 2, frames]` and a cache of two."""
    nodes = [
        helper.make_node("Identity", ["x"], ["signal"]),
        helper.make_node("Concat", ["cache", "signal"], ["joined"], axis=2),
        helper.make_node("Conv", ["joined", "w"], ["y"]),
        helper.make_node("Slice", ["joined", "one", "end", "time"], ["next"]),
    ]
    tensors = {"w": floats(3, 2, 3), **BOUNDS}
    return model_of(nodes, {"x": [1, 2, frames], "cache": [1, 2, 2]}, ["y", "next"], tensors)


def found(model: onnx.ModelProto) -> list[Cache]:
    one, shapes = still(model)
    return find_caches(one, number_inputs(one), shapes)


def test_a_cache_is_found_with_its_axis_and_frames() -> None:
    (cache,) = found(cached())
    assert (cache.joined, cache.signal, cache.name) == ("joined", "signal", "cache")
    assert (cache.axis, cache.rank, cache.frames) == (2, 3, 2)
    assert cache.numbers == (2, 3, 4, 5), "x has 0 and 1"


def test_the_next_values_are_later_by_the_frames_of_a_run() -> None:
    (one,), (three,) = found(cached()), found(cached(3))
    assert one.nexts["joined"][0, 0].tolist() == [OTHER, 2, 3]
    assert one.nexts["signal"][0].tolist() == [[3], [5]], "the last frame of the cache is the frame of the run"
    assert three.nexts["joined"][0, 0].tolist() == [OTHER, OTHER, OTHER, 6, 7]


def test_a_cache_read_after_a_part_of_its_input_was_replaced() -> None:
    model = cached()
    model.graph.input[1].CopyFrom(helper.make_tensor_value_info("cache", onnx.TensorProto.FLOAT, [2, 1, 2, 2]))
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["other"]),
        helper.make_node("Expand", ["other", "shape"], ["wide"]),
        helper.make_node("ScatterND", ["cache", "first", "wide"], ["replaced"]),
        helper.make_node("Gather", ["replaced", "second"], ["mine"], axis=0),
    ]
    for i, node in enumerate(nodes):
        model.graph.node.insert(i, node)
    model.graph.node[5].input[0] = "mine"
    tensors = {"two": np.float32(2), "shape": np.array([1, 1, 2, 2]), "first": np.array([[0]]), "second": np.array(1)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items())
    (cache,) = found(model)
    assert cache.numbers == (6, 7, 8, 9), "the second half, which nothing replaced"
    model.graph.initializer[-1].CopyFrom(onnx.numpy_helper.from_array(np.array(0), "second"))
    assert not found(model), "the first half holds other values by then"


def test_what_is_joined_behind_the_signal_is_no_cache() -> None:
    model = cached()
    model.graph.node[1].input[:] = ["signal", "cache"]
    assert not [cache for cache in found(model) if cache.name == "cache"]


def test_zeros_stand_for_a_cache_of_zeros() -> None:
    model, x = cached(4), floats(1, 2, 4)
    before = run(model, {"x": x, "cache": np.zeros((1, 2, 2), np.float32)})["y"]
    put_zeros(model, found(model))
    del model.graph.input[1]
    np.testing.assert_array_equal(run(model, {"x": x})["y"], before)

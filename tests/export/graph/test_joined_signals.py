"""Signals side by side: arrays and graphs are joined and taken apart again."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.graph.axes import Dims
from tidegate.export.graph.joined_signals import joined_signals
from tidegate.runtime.contract import Piece
from tidegate.runtime.errors import ContractError
from tools.graphs import floats, model_of, run

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "batch first": {"near": (2, 7, 3), "far": (2, 7, 4)},
    "no batch": {"x": (7, 3), "y": (7, 1)},
    "two axes in a frame": {"erb": (1, 1, 7, 5), "spec": (1, 2, 7, 6)},
    "another place of time": {"erb": (1, 1, 7, 5), "x": (1, 7, 3)},
}
PIECES = {
    "batch first": (Piece("near", (3,)), Piece("far", (4,))),
    "no batch": (Piece("x", (3,)), Piece("y", (1,))),
    "two axes in a frame": (Piece("erb", (1, 5)), Piece("spec", (2, 6))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_arrays_and_graphs_are_taken_apart_alike(name: str) -> None:
    shapes = SHAPES[name]
    (*ways,) = joined_signals(shapes)
    assert PIECES.get(name) in (None, *(way.pieces for way in ways))
    arrays = {key: floats(*shape, seed=i) for i, (key, shape) in enumerate(shapes.items())}
    for way in ways:
        x = way.together(arrays)
        for key, value in way.apart(x).items():
            np.testing.assert_array_equal(value, arrays[key])
        nodes = [helper.make_node("Identity", [key], [f"{key}_seen"]) for key in shapes]
        model = model_of(nodes, shapes, [f"{key}_seen" for key in shapes])
        way.join(model)
        onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
        assert [item.name for item in model.graph.input] == ["signals"]
        for key, value in run(model, {"signals": x}).items():
            np.testing.assert_array_equal(value, arrays[key.removesuffix("_seen")])


def test_free_sizes_are_tried_first_and_a_taken_name_is_left_alone() -> None:
    first, *_ = joined_signals({"a": ("b", 1, "t", 4), "z": ("b", 2, "t", 6)}, ["signals"])
    assert first.name == "signals_1"
    assert [signal.lead for signal in first.signals] == [(0, 2), (0, 2)]


@pytest.mark.parametrize(
    "shapes",
    [
        {"x": (1, 7, 3), "y": (1, 8, 4)},
        {"x": (1, 7, 3), "y": (1, 7)},
        {"x": ("batch", "time", 3), "y": ("batch", "time", None)},
    ],
)
def test_signals_of_other_sizes_are_refused(shapes: dict[str, Dims]) -> None:
    message = r"signals 'x' .*, 'y' .*: wanted the same sizes of batch and time in each, and a fixed frame"
    with pytest.raises(ContractError, match=message):
        joined_signals(shapes)

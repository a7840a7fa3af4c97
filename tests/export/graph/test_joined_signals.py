"""Signals side by side: arrays and graphs are joined and taken apart again."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
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


IDS: dict[str, dict[str, tuple[int, ...]]] = {
    "ids first": {"word": (2, 7), "x": (2, 7, 3), "tag": (2, 7)},
    "ids last, no batch": {"x": (7, 3), "word": (7,)},
    "ids alone": {"word": (2, 7), "tag": (2, 7)},
}


@pytest.mark.parametrize("name", IDS)
def test_ids_are_one_feature_each(name: str) -> None:
    shapes = IDS[name]
    ids = [key for key in shapes if key != "x"]
    way, *_ = joined_signals(shapes, ids=ids)
    assert way.pieces == tuple(Piece(key, () if key in ids else (3,)) for key in shapes)
    arrays = {key: floats(*shape, seed=i) for i, (key, shape) in enumerate(shapes.items())}
    arrays |= {key: np.arange(arrays[key].size).reshape(shapes[key]) for key in ids}
    x = way.together(arrays)
    assert x.dtype == np.float32
    for key, value in way.apart(x).items():
        np.testing.assert_array_equal(value, arrays[key])
    model = model_of([helper.make_node("Identity", [key], [f"{key}_seen"]) for key in shapes], shapes, [])
    for item in model.graph.input:
        item.type.tensor_type.elem_type = TensorProto.INT64 if item.name in ids else TensorProto.FLOAT
    for key in shapes:
        kind = TensorProto.INT64 if key in ids else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(f"{key}_seen", kind, None))
    way.join(model)
    for key, value in run(model, {"signals": x}).items():
        np.testing.assert_array_equal(value, arrays[key.removesuffix("_seen")])


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

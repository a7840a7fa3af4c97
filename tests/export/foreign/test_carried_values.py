"""Parts of state inputs, and what computes them again."""

import numpy as np
import onnx
from onnx import helper
from tidegate.export.foreign.carried_values import carried_values
from tools.graphs import model_of

SHAPES = dict.fromkeys(("h", "c", "h_", "c_"), (1, 4))


def packed(order: tuple[str, str] = ("h_", "c_")) -> onnx.ModelProto:
    """Return a file whose state [2, 1, 4] holds h and c, each doubled per frame."""
    nodes = [
        helper.make_node("Gather", ["s", "i0"], ["h"], axis=0),
        helper.make_node("Gather", ["s", "i1"], ["c"], axis=0),
        helper.make_node("Add", ["h", "h"], ["h_"]),
        helper.make_node("Add", ["c", "c"], ["c_"]),
        *(helper.make_node("Unsqueeze", [name, "axis"], [f"{name}1"]) for name in order),
        helper.make_node("Concat", [f"{name}1" for name in order], ["out"], axis=0),
    ]
    tensors = {"i0": np.array(0), "i1": np.array(1), "axis": np.array([0])}
    return model_of(nodes, {"s": (2, 1, 4)}, ["out"], tensors)


def test_the_parts_of_a_packed_state() -> None:
    assert carried_values(packed(), SHAPES, {"s": "out"}) == {"h": "h_", "c": "c_"}


def test_parts_that_come_back_elsewhere_feed_what_starts_there() -> None:
    assert carried_values(packed(("c_", "h_")), SHAPES, {"s": "out"}) == {"h": "c_", "c": "h_"}


def test_parts_of_unknown_sizes_are_left_out() -> None:
    assert carried_values(packed(), {}, {"s": "out"}) == {}


def test_a_part_that_is_computed_with_others_is_left_out() -> None:
    nodes = [helper.make_node("Split", ["s"], ["a", "b"], axis=0, num_outputs=2)]
    nodes += [helper.make_node("Add", [name, name], [f"{name}_"]) for name in ("a", "b", "s")]
    model = model_of(nodes, {"s": (2, 4)}, ["s_"])
    assert carried_values(model, {"s_": (2, 4)}, {"s": "s_"}) == {"s": "s_"}

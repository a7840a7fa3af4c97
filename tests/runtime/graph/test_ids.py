"""Random ids for features that tables read."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Piece
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.ids import with_ids

PIECES = (Piece("x", (2,)), Piece("word", ()), Piece("tag", ()))


def graph() -> Graph:
    """Return two tables, of 5 and of 3 rows, that read feature 2; nothing reads feature 3."""
    nodes = [
        helper.make_node("Gather", ["signals", "at"], ["number"], axis=1),
        helper.make_node("Cast", ["number"], ["id"], to=TensorProto.INT64),
        helper.make_node("Gather", ["wide", "id"], ["a"]),
        helper.make_node("Unsqueeze", ["id", "axes"], ["column"]),
        helper.make_node("DequantizeLinear", ["codes", "scale"], ["small"]),
        helper.make_node("Gather", ["small", "column"], ["b"]),
    ]
    tensors: dict[str, Array] = {
        "at": np.array(2, np.int64),
        "axes": np.array([1], np.int64),
        "wide": np.zeros((5, 2), np.float32),
        "codes": np.zeros((3, 2), np.int8),
        "scale": np.array(1, np.float32),
    }
    first, last = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, None)] for name in ("signals", "a"))
    made = helper.make_graph(nodes, "g", first, last, [numpy_helper.from_array(v, k) for k, v in tensors.items()])
    return Graph(helper.make_model(made))


def test_ids_are_in_all_tables_and_other_features_stay() -> None:
    noise = np.random.default_rng(1).standard_normal((200, 4)).astype(np.float32)
    made = with_ids(graph(), "signals", PIECES, noise)
    np.testing.assert_array_equal(made[:, :2], noise[:, :2])
    assert set(made[:, 2]) == {0, 1, 2}
    assert set(made[:, 3]) == {0}

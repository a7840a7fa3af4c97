"""A table of ids."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.contract import METADATA_KEY, Contract, Port
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering import embedding
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Embedding

TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)


def graph(table: np.ndarray = TABLE, axis: int = 0) -> Graph:
    """Return a lookup of ids `[time]` in a table."""
    value, ids = helper.make_tensor_value_info, TensorProto.INT64
    node = helper.make_node("Gather", ["table", "x"], ["y"], name="lookup", axis=axis)
    ends = [value("x", ids, ["time"])], [value("y", TensorProto.FLOAT, None)]
    made = Graph(helper.make_model(helper.make_graph([node], "g", *ends, [numpy_helper.from_array(table, "table")])))
    made.set_metadata(METADATA_KEY, Contract((Port("x", 0, None),), (Port("y", 0, None),), ()).to_json())
    return made


def test_a_gather_by_ids_is_an_embedding_with_the_table() -> None:
    program = lower(graph())
    (op,) = program.ops
    assert program.ids
    assert isinstance(op, Embedding)
    np.testing.assert_array_equal(np.asarray(op.table), TABLE)


def test_a_table_along_another_axis_or_of_other_axes_is_refused() -> None:
    for made in (graph(axis=1), graph(TABLE[0]), graph(TABLE[None])):
        with pytest.raises(UnsupportedError, match=r"its table 'table' is .*, wanted a constant of two axes"):
            lower(made)


def test_a_table_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MAX_ROWS", 5)
    with pytest.raises(UnsupportedError, match="its table has 6 rows, the engine takes at most 5"):
        lower(graph())

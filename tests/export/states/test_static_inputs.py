"""A static input becomes a state that keeps itself."""

import numpy as np
import pytest
from onnx import helper
from tidegate.export.graph.axes import Dims
from tidegate.export.states.static_inputs import keep_static
from tidegate.runtime.contract import State
from tidegate.runtime.errors import UnsupportedError
from tools.graphs import floats, model_of, run


@pytest.mark.parametrize(
    ("dims", "batch", "shape"),
    [
        (("axis0", 4), "batch", ("batch", 4)),
        (("axis0", 4), 1, (1, 4)),
        ((1, 1, 4), "batch", (1, 1, 4)),
        ((4,), "batch", (1, 4)),
        ((), "batch", (1, 1)),
    ],
)
def test_a_static_input_is_its_own_next_value(dims: Dims, batch: int | str, shape: tuple[int | str, ...]) -> None:
    model = model_of([helper.make_node("Add", ["v", "v"], ["y"])], {"v": dims}, ["y"])
    assert keep_static(model, ["v"], batch) == (State("v", "v_out", "static", shape),)
    value = floats(*(size if isinstance(size, int) else 3 for size in shape))
    seen = run(model, {"v": value})
    np.testing.assert_array_equal(seen["v_out"], value)
    np.testing.assert_array_equal(seen["y"], 2 * value.reshape(seen["y"].shape))


def test_a_taken_name_is_refused() -> None:
    model = model_of([helper.make_node("Add", ["v", "v"], ["v_out"])], {"v": (1, 4)}, ["v_out"])
    with pytest.raises(UnsupportedError, match="static input 'v': the graph already has a value 'v_out'; rename it"):
        keep_static(model, ["v"], 1)
    assert keep_static(model_of([helper.make_node("Add", ["v", "v"], ["y"])], {"v": (1, 4)}, ["y"]), ["v"], 1)

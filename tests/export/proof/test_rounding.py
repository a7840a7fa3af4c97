"""How far the last places of weights and inputs move the answers of a file."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tidegate.export.proof.rounding import Rounding
from tidegate.export.proof.runner import Runner
from tidegate.export.states.recurrent_states import lift_states
from tidegate.runtime.contract import Contract, Port

MakeGraph = Callable[..., onnx.ModelProto]

PLACE = 2.0**-23  # the last place of a value from 1 to 2
X = np.full((5, 2, 3), 1.5, np.float32)


def changes(
    operator: str,
    weight: np.ndarray | None = None,
    x: np.ndarray = X,
    *,
    kind: int = TensorProto.FLOAT,
    time: int | None = 0,
) -> np.ndarray:
    """Return the changes of a graph of one operator on x and a weight."""
    source = helper.make_tensor_value_info("x", kind, ["time", "batch", 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [] if weight is None else [numpy_helper.from_array(weight, "w")]
    operands = {"Gather": ["w", "x"]}.get(operator, ["x", "w"][: 1 + len(weights)])
    node = helper.make_node(operator, operands, ["y"])
    graph = helper.make_graph([node], "made", [source], [answer], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
    contract = Contract((Port("x", 0, 1),), (Port("y", time, 1),), ())
    return Rounding(Runner(model.SerializeToString(), contract)).changes(x)["y"]


def test_an_input_moves_by_one_last_place() -> None:
    np.testing.assert_array_equal(changes("Identity"), np.full(5, PLACE))
    assert changes("Identity", time=None) == PLACE


def test_a_weight_moves_by_one_last_place_and_zero_stays() -> None:
    moved = changes("Mul", np.array([1.0, 1.5, 0.0], np.float32))
    assert 2 * PLACE <= moved.max() <= 4 * PLACE
    assert changes("Mul", np.zeros(3, np.float32)).max() == 0


def test_a_single_number_stays() -> None:
    """A negative number to the power of 2.0000002 is not a number."""
    assert np.all(changes("Pow", np.array(2, np.float32), -X) <= 4 * PLACE)


def test_ids_stay_and_their_table_moves() -> None:
    ids = np.ones((5, 2, 3), np.int64)
    np.testing.assert_array_equal(changes("Gather", np.array([1.5, 1.5], np.float32), ids, kind=7), np.full(5, PLACE))


def test_random_answers_are_no_rounding() -> None:
    assert changes("RandomNormalLike").max() == 0


def test_each_frame_has_the_largest_change_up_to_it(make_graph: MakeGraph) -> None:
    model = make_graph(("/lstm/LSTM",))
    states = lift_states(model)
    contract = Contract((Port("x", 0, 1),), (Port("y", 0, 1),), states)
    rounding = Rounding(Runner(model.SerializeToString(), contract))
    x = np.random.default_rng(0).standard_normal((30, 2, 3)).astype(np.float32)
    found = rounding.changes(x)
    assert np.all(np.diff(found["y"]) >= 0)
    assert 2.0**-26 < found["y"][0] < found["y"][-1] < 1e-5
    assert found[states[0].output].shape == ()
    np.testing.assert_array_equal(rounding.changes(x)["y"], found["y"])

"""Functions per feature, where their meaning is not that of their name in NumPy."""

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.operators import Binary, Elementwise, Map
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS

X = np.array([-4, -0.5, 0.5, 4], np.float32)


@pytest.mark.parametrize(
    ("function", "numbers", "wanted"),
    [
        ("leaky_relu", (0.5,), [-2, -0.25, 0.5, 4]),
        ("hard_sigmoid", (0.5, 0.5), [0, 0.25, 0.75, 1]),
        ("relu", (), [0, 0, 0.5, 4]),
        ("reciprocal", (), [-0.25, -2, 2, 0.25]),
        ("elu", (0.0,), [0, 0, 0.5, 4]),
    ],
)
def test_a_function_of_one_value(function: str, numbers: tuple[float, ...], wanted: list[float]) -> None:
    assert Map((0,), function, numbers).step((), X)[0].tolist() == wanted


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("sub", [-6, -2.5, -1.5, 2]),
        ("from", [6, 2.5, 1.5, -2]),
        ("div", [-2, -0.25, 0.25, 2]),
        ("into", [-0.5, -4, 4, 0.5]),
    ],
)
def test_from_and_into_have_the_constant_first(function: str, wanted: list[float]) -> None:
    assert Elementwise((0,), function, np.full(4, 2, np.float32)).step((), X)[0].tolist() == wanted


def test_a_value_of_width_one_is_applied_to_every_feature() -> None:
    op = Binary((0, 1), "mul")
    assert op.width([4, 1]) == 4
    assert op.step((), X, np.array([2], np.float32))[0].tolist() == [-8, -1, 1, 8]


@pytest.mark.parametrize(("functions", "make"), [(MAPS, Map), (CONSTANTS, Elementwise), (BINARIES, Binary)])
def test_plans_number_functions_from_one_in_their_order(functions: dict[str, object], make: type) -> None:
    more: tuple[Floats, ...] = (X,) if make is Elementwise else ()
    numbers = [make((0, 1)[: 1 + (make is Binary)], name, *more).record().function for name in functions]
    assert numbers == list(range(1, len(functions) + 1))

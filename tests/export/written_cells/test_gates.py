"""Gates: activations of affine forms, and their complements."""

import numpy as np
import pytest
from tidegate.export.written_cells.gates import Affine, Function, Gate, without
from tidegate.export.written_cells.sums import plus, term
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError


def a_gate(function: Function, clip: float | None = None) -> Gate:
    return Gate(function, clip, Affine(np.ones((2, 1)), np.ones((2, 2)), np.zeros(2), np.array([0.3, -0.4])))


def hard(x: Array, slope: float, offset: float) -> Array:
    return np.asarray(np.clip(slope * x + offset, 0, 1))


def test_the_complement_of_a_sigmoid_reads_the_opposite() -> None:
    made = a_gate(("Sigmoid", ())).complement()
    np.testing.assert_array_equal(made.form.b, [-0.3, 0.4])
    np.testing.assert_array_equal(made.form.w, -np.ones((2, 1)))


@pytest.mark.parametrize("offset", [0.5, 0.3])
def test_the_complement_of_a_hard_sigmoid_is_one_minus_it(offset: float) -> None:
    gate = a_gate(("HardSigmoid", (0.2, offset)))
    x = np.linspace(-6, 6, 25)[:, None]
    read, opposite = ((x * one.form.w[:, 0] + one.form.b) for one in (gate, gate.complement()))
    np.testing.assert_allclose(hard(opposite, 0.2, offset), 1 - hard(read, 0.2, offset), atol=1e-12)


def test_other_complements_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="1 minus a gate of Tanh, wanted 1 minus a Sigmoid or HardSigmoid"):
        a_gate(("Tanh", ())).complement()


def test_a_sum_without_a_part_of_it() -> None:
    state, other = plus(term(0, 1), term(2, 3)), term(4)
    assert without(plus(other, state, 0.5), state) == (0.5, other)
    assert without(other, state) == (0.0, other)

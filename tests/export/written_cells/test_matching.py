"""Next states against the formulas of ONNX's cells, on sums made by hand."""

import numpy as np
import pytest
from tidegate.export.written_cells.gates import Variables
from tidegate.export.written_cells.matching import match_gru, match_lstm, match_rnn
from tidegate.export.written_cells.sums import Atoms, Sum, constant, minus, plus, term, times
from tidegate.runtime.errors import UnsupportedError


class OneUnit:
    """A step of one unit: its variables x, h and c, and gates with a factor of x each."""

    def __init__(self) -> None:
        self.atoms = Atoms()
        numbers = [self.atoms.variable(name, 0) for name in "xhc"]
        self.x, self.h, self.c = (term(number) for number in numbers)
        self.variables = Variables(*({number: 0} for number in numbers))

    def gate(self, factor: float, function: str = "Sigmoid", *, of: Sum | None = None) -> Sum:
        read = plus(times(constant(factor), self.x), self.h if of is None else of)
        return term(self.atoms.activation(f"gate{factor}", function, (), read))


def test_the_gates_of_an_lstm_come_in_the_order_of_onnx() -> None:
    unit = OneUnit()
    i, o, f, g = unit.gate(1), unit.gate(2), unit.gate(3), unit.gate(4, "Tanh")
    cell = plus(times(f, unit.c), times(i, g))
    last = term(unit.atoms.activation("last", "Tanh", (), cell))
    found = match_lstm(unit.atoms, unit.variables, [times(o, last)], [cell])
    np.testing.assert_array_equal(found.weights["W"][0, :, 0], [1, 2, 3, 4])
    assert found.attributes == {"hidden_size": 1}


def test_the_reset_gate_of_a_gru_after_the_product_has_a_bias_of_its_own() -> None:
    unit = OneUnit()
    z, r = unit.gate(1), unit.gate(2)
    inner = plus(unit.h, constant(0.25))
    new = term(unit.atoms.activation("n", "Tanh", (), plus(unit.x, times(r, inner))))
    mixed = plus(times(z, unit.h), times(minus(constant(1), z), new))
    found = match_gru(unit.atoms, unit.variables, [mixed])
    assert found.attributes == {"hidden_size": 1, "linear_before_reset": 1}
    np.testing.assert_array_equal(found.weights["B"][0], [0, 0, 0, 0, 0, 0.25])


def test_a_gru_without_a_reset_gate_is_refused() -> None:
    unit = OneUnit()
    z, n = unit.gate(1), unit.gate(2, "Tanh")
    mixed = plus(times(z, unit.h), times(minus(constant(1), z), n))
    with pytest.raises(UnsupportedError, match="value 'gate2' multiplies no reset gate by each value of the state"):
        match_gru(unit.atoms, unit.variables, [mixed])


def test_a_cell_state_without_a_forget_gate_is_refused() -> None:
    unit = OneUnit()
    cell = plus(unit.c, times(unit.gate(1), unit.gate(2, "Tanh")))
    with pytest.raises(UnsupportedError, match="the next cell state is 'c \\+ gate1 gate2', wanted a forget gate"):
        match_lstm(unit.atoms, unit.variables, [unit.gate(3)], [cell])


def test_an_rnn_of_one_activation() -> None:
    unit = OneUnit()
    found = match_rnn(unit.atoms, unit.variables, [unit.gate(2, "Relu")])
    assert found.attributes == {"hidden_size": 1, "activations": ["Relu"]}

"""Float cells against PyTorch's equations in float64, and which of them keep h within (-1, 1)."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import Gru, Map, is_hidden
from tidegate.runtime.program import Matrix, Reading
from tools.random_layers import gru, lstm, lstm_projected, rnn

RNG = np.random.default_rng(0)
SIZES, UNITS = (5, 3), 3
X, H, C = (RNG.normal(0, 0.5, size).astype(np.float32) for size in (5, 3, 3))
CELLS: dict[str, Any] = {
    "lstm": lstm(RNG, 0, SIZES, Reading.FRAME, 16),
    "projected": lstm_projected(RNG, 0, (5, 4, 3), Reading.FRAME, 16),
    "gru": gru(RNG, 0, SIZES, Reading.FRAME, 16),
    "tanh": rnn(RNG, 0, SIZES, Reading.FRAME, 16, function="tanh"),
    "relu": rnn(RNG, 0, SIZES, Reading.FRAME, 16, function="relu"),
}


def sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def product(matrix: Matrix, x: Array) -> Array:
    y: Array = (matrix.codes.astype(np.float64) * matrix.scales) @ x
    return y


def wanted_gru(cell: Gru) -> Array:
    """Return h of a GRU whose reset gate comes after the recurrent product."""
    of_x, of_h = product(cell.w, X) + cell.bias, product(cell.r, H)
    z, r = sigmoid(of_x[:UNITS] + of_h[:UNITS]), sigmoid((of_x + of_h)[UNITS : 2 * UNITS])
    n = np.tanh(of_x[2 * UNITS :] + r * (of_h[2 * UNITS :] + cell.candidate_bias))
    h: Array = (1 - z) * n + z * H
    return h


def test_an_lstm_step_is_the_equations_in_onnx_order() -> None:
    cell = CELLS["lstm"]
    sums = product(cell.w, X) + product(cell.r, H) + cell.bias
    i, o, f, g = np.split(sums, 4)
    c = sigmoid(f) * C + sigmoid(i) * np.tanh(g)
    h, seen = cell.next_state(X, H, C)
    np.testing.assert_allclose(seen, c, atol=2e-4)
    np.testing.assert_allclose(h, sigmoid(o) * np.tanh(c), atol=2e-4)


def test_a_gru_step_resets_after_the_product() -> None:
    (h,) = CELLS["gru"].next_state(X, H)
    np.testing.assert_allclose(h, wanted_gru(CELLS["gru"]), atol=2e-4)


@pytest.mark.parametrize("name", CELLS)
def test_the_state_starts_at_zero_and_h_is_the_answer(name: str) -> None:
    cell = CELLS[name]
    assert [vector.any() for vector in cell.initial()] == [False] * len(cell.slots)
    assert len(cell.kind.states) == len(cell.slots)
    y, after = cell.step(cell.initial(), X)
    assert y is after[0]
    assert y.shape == (cell.width([5]),)


def test_only_an_h_without_bound_is_not_hidden() -> None:
    assert [name for name, cell in CELLS.items() if not is_hidden(cell)] == ["projected", "relu"]
    assert not is_hidden(Map((0,), "tanh"))


def test_an_h_of_relu_that_leaves_the_range_is_refused() -> None:
    cell = replace(rnn(RNG, 0, SIZES, Reading.FRAME, 16, function="relu"), bias=np.full(UNITS, 2.0**65, np.float32))
    with pytest.raises(ChunkError, match=r"leaves 2\^64"):
        cell.step(cell.initial(), X)

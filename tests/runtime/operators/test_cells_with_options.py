"""Cells with options against ONNX's equations in float64, and against the plain cells of the same equations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.cells import ACTIVATIONS, GRU, LSTM, RNN, Activation, CellOptions
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.operators import GruWithOptions, LstmWithOptions, RnnWithOptions, is_hidden
from tidegate.runtime.program import Matrix, Reading
from tools.random_layers import gru, gru_with_options, lstm, lstm_projected, lstm_with_options, rnn, rnn_with_options

RNG = np.random.default_rng(0)
SIZES, UNITS = (5, 3), 3
X, H, C = (RNG.normal(0, 0.5, size).astype(np.float32) for size in (5, 3, 3))
RELU, TANH, SIGMOID, HARD = (Activation(name) for name in ("Relu", "Tanh", "Sigmoid", "HardSigmoid"))


def product(matrix: Matrix, x: Array) -> Array:
    y: Array = (matrix.codes.astype(np.float64) * matrix.scales) @ x
    return y


def sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def peeping(options: CellOptions) -> LstmWithOptions:
    layer = lstm_with_options(np.random.default_rng(1), 0, SIZES, Reading.FRAME, 16, options=options)
    return replace(layer, peepholes=RNG.normal(0, 0.5, 9).astype(np.float32))


@pytest.mark.parametrize("coupled", [False, True])
def test_an_lstm_step_has_peepholes_a_clip_and_coupled_gates(coupled: bool) -> None:
    cell, clip = peeping(CellOptions((SIGMOID, TANH, TANH), clip=0.5, coupled=coupled)), 0.5
    assert cell.peepholes is not None
    p_i, p_o, p_f = np.split(cell.peepholes, 3)
    i, o, f, g = np.split(product(cell.w, X) + product(cell.r, H) + cell.bias, 4)
    input_gate = sigmoid(np.clip(i + p_i * C, -clip, clip))
    forget_gate = 1 - input_gate if coupled else sigmoid(np.clip(f + p_f * C, -clip, clip))
    c = forget_gate * C + input_gate * np.tanh(np.clip(g, -clip, clip))
    h = sigmoid(np.clip(o + p_o * c, -clip, clip)) * np.tanh(c)
    seen_h, seen_c = cell.next_state(X, H, C)
    np.testing.assert_allclose(seen_c, c, atol=2e-4)
    np.testing.assert_allclose(seen_h, h, atol=2e-4)


def test_a_gru_step_resets_before_the_product() -> None:
    options = CellOptions((SIGMOID, RELU), reset_first=True)
    cell = gru_with_options(np.random.default_rng(2), 0, SIZES, Reading.FRAME, 16, options=options)
    of_x, of_h = product(cell.w, X) + cell.bias, product(cell.r, H)
    z, r = sigmoid((of_x + of_h)[:UNITS]), sigmoid((of_x + of_h)[UNITS : 2 * UNITS])
    n = np.maximum(of_x[2 * UNITS :] + product(cell.r, r * H)[2 * UNITS :], 0)
    (h,) = cell.next_state(X, H)
    np.testing.assert_allclose(h, (1 - z) * n + z * H, atol=2e-4)


def test_options_of_pytorchs_layers_give_the_bits_of_the_plain_cells() -> None:
    rng, state = np.random.default_rng(3), (np.zeros(3, np.float32),) * 2
    first = lstm(rng, 0, SIZES, Reading.FRAME, 16)
    same = LstmWithOptions((0,), first.w, first.r, first.bias, first.h, first.c, LSTM.plain)
    second = gru(rng, 0, SIZES, Reading.FRAME, 16)
    parts = second.w, second.r, second.bias, second.candidate_bias, second.h
    third = rnn(rng, 0, SIZES, Reading.FRAME, 16, function="relu")
    fourth = lstm_projected(rng, 0, (5, 4, 3), Reading.FRAME, 16)
    projected = fourth.w, fourth.r, fourth.bias, fourth.h, fourth.c, LSTM.plain
    pairs: list[tuple[Any, Any, int]] = [
        (first, same, 2),
        (second, GruWithOptions((0,), *parts, GRU.plain), 1),
        (third, RnnWithOptions((0,), third.w, third.r, third.bias, third.h, CellOptions((RELU,))), 1),
        (fourth, LstmWithOptions((0,), *projected, p=fourth.p), 2),
    ]
    for plain, other, states in pairs:
        start = plain.initial() if plain is fourth else state[:states]
        for mine, theirs in zip(other.next_state(X, *start), plain.next_state(X, *start), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert is_hidden(plain) == is_hidden(other)


@pytest.mark.parametrize(
    ("options", "bounded"),
    [
        (CellOptions((SIGMOID, RELU, TANH)), True),  # of the candidate only c is made
        (CellOptions((RELU, TANH, TANH)), False),
        (CellOptions((SIGMOID, TANH, RELU)), False),
        (CellOptions((TANH, TANH)), False),  # a gate below 0 makes no mean
        (CellOptions((HARD, TANH)), True),
        (CellOptions((SIGMOID, RELU), reset_first=True), False),
        (CellOptions((Activation("Softsign"),)), True),
        (CellOptions((Activation("Softplus"),)), False),
    ],
)
def test_h_is_bounded_if_its_activations_are(options: CellOptions, bounded: bool) -> None:
    make: Any = {3: lstm_with_options, 2: gru_with_options, 1: rnn_with_options}[len(options.activations)]
    layer = make(RNG, 0, SIZES, Reading.FRAME, 16, options=options)
    assert is_hidden(layer) is bounded
    assert layer.r.reading is (Reading.HIDDEN if bounded else Reading.FRAME)


def test_an_h_of_a_projection_has_no_bound() -> None:
    layer = lstm_with_options(RNG, 0, (5, 4, 3), Reading.FRAME, 16, options=LSTM.plain)
    assert not is_hidden(layer)
    assert [vector.size for vector in layer.initial()] == [3, 4]


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN], ids=lambda kind: kind.name)
def test_a_state_that_leaves_the_range_is_refused(kind: Any) -> None:  # noqa: ANN401  a kind of cell
    make: Any = {LSTM: lstm_with_options, GRU: gru_with_options, RNN: rnn_with_options}[kind]
    options = CellOptions((RELU,) * len(kind.activations[0]))
    layer = make(np.random.default_rng(4), 0, SIZES, Reading.FRAME, 16, options=options)
    layer = replace(layer, bias=np.full(layer.bias.size, 2.0**65, np.float32))
    with pytest.raises(ChunkError, match=r"leaves 2\^64"):
        layer.next_state(X, *np.ones((len(layer.slots), 3), np.float32))


def test_a_record_holds_every_option() -> None:
    functions = (Activation("ScaledTanh", 0.5, 0.25), Activation("Elu", 2.0), HARD)
    layer = peeping(CellOptions(functions, clip=3.0, coupled=True))
    record = layer.record()
    numbers = [list(ACTIVATIONS).index(one.name) + 1 for one in functions]
    assert record.function == numbers[0] | numbers[1] << 8 | numbers[2] << 16 | (1 | 4) << 24
    np.testing.assert_array_equal(record.vectors[1][:7], [0.5, 0.25, 2, 0, 0, 0, 3])
    np.testing.assert_array_equal(record.vectors[1][7:], layer.peepholes)


def test_a_layer_that_gives_c_answers_with_h_and_c_of_each_frame() -> None:
    rng = np.random.default_rng(4)
    layer = lstm_with_options(rng, 0, (3, 5), Reading.FRAME, 16, gives_c=True)
    alone, state = replace(layer, gives_c=False), layer.initial()
    assert (layer.width([3]), alone.width([3])) == (10, 5)
    assert not is_hidden(layer)
    for x in rng.standard_normal((4, 3)).astype(np.float32):
        h, after = alone.step(state, x)
        seen, state = layer.step(state, x)
        np.testing.assert_array_equal(seen, np.concatenate([h, after[1]]))

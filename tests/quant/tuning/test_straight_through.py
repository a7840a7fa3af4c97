"""Layers with straight-through gradients: the engine's bits forward, almost torch's own gradients backward."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tidegate.quant.rounding.nearest import to_nearest  # noqa: E402  torch is an extra
from tidegate.quant.rounding.precision import Precision  # noqa: E402
from tidegate.quant.tuning.arithmetic import Format, rounded  # noqa: E402
from tidegate.quant.tuning.straight_through import affine, gru, lstm, relu_rnn, rnn, straight  # noqa: E402
from tidegate.runtime.operators import Gru, Linear, Lstm, Rnn, Slot  # noqa: E402
from tidegate.runtime.operators.matrix import Matrix, Reading  # noqa: E402
from tidegate.runtime.program import Program  # noqa: E402
from tidegate.runtime.reference import ReferenceStream  # noqa: E402
from torch import Tensor, nn  # noqa: E402

FEATURES, UNITS, FRAMES, BATCH = 4, 6, 9, 2
FINE = (Format(16, 0, 16, Reading.FRAME), Format(16, 0, 16, Reading.HIDDEN))
FINE_RELU = (FINE[0], Format(16, 0, 16, Reading.FRAME))
CELLS: dict[str, tuple[Callable[..., Any], Any, dict[str, str]]] = {
    "lstm": (lstm, nn.LSTM, {}),
    "gru": (gru, nn.GRU, {}),
    "tanh": (rnn, nn.RNN, {}),
    "relu": (relu_rnn, nn.RNN, {"nonlinearity": "relu"}),
}
ORDERS = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "tanh": [0], "relu": [0]}  # torch's gates in ONNX's order


def layer(kind: str) -> Any:  # noqa: ANN401  any recurrent layer
    torch.manual_seed(0)
    return CELLS[kind][1](FEATURES, UNITS, **CELLS[kind][2])


def run(kind: str, made: Any, x: Tensor, state: list[Tensor], forms: tuple[Format, Format]) -> tuple[Tensor, Any]:  # noqa: ANN401
    weights, biases = [made.weight_ih_l0, made.weight_hh_l0], [made.bias_ih_l0, made.bias_hh_l0]
    y, after = CELLS[kind][0](x, weights, biases, state, forms, clamp=True)
    return y, after


def operator(kind: str, made: Any, forms: tuple[Format, Format]) -> Lstm | Gru | Rnn:  # noqa: ANN401
    """Return the engine's operator of a torch layer."""

    def ordered(values: Tensor) -> Any:  # noqa: ANN401  an array
        parts = np.split(values.detach().numpy(), len(ORDERS[kind]))
        return np.concatenate([parts[place] for place in ORDERS[kind]])

    def matrix(values: Tensor, form: Format) -> Matrix:
        exact = to_nearest(ordered(values), Precision(form.weight_bits, form.bits, form.group))
        return Matrix(exact.codes, exact.scales, form.reading, form.bits, form.weight_bits, form.group)

    w, r = matrix(made.weight_ih_l0, forms[0]), matrix(made.weight_hh_l0, forms[1])
    of_x, of_h = ordered(made.bias_ih_l0), ordered(made.bias_hh_l0)
    h, c = Slot("h", 0), Slot("c", 0)
    if kind == "lstm":
        return Lstm((0,), w, r, of_x + of_h, h, c)
    if kind == "gru":
        bias = np.concatenate([(of_x + of_h)[: 2 * UNITS], of_x[2 * UNITS :]])
        return Gru((0,), w, r, bias, of_h[2 * UNITS :], h)
    return Rnn((0,), kind, w, r, of_x + of_h, h)


@pytest.mark.parametrize("kind", CELLS)
def test_forward_gives_the_bits_of_the_specification(kind: str) -> None:
    made = layer(kind)
    recurrent = Reading.FRAME if kind == "relu" else Reading.HIDDEN
    forms = Format(4, 0, 16, Reading.FRAME), Format(8, 0, 8, recurrent)
    x = torch.randn(FRAMES, BATCH, FEATURES)
    zeros = [torch.zeros(BATCH, UNITS)] * (2 if kind == "lstm" else 1)
    y, after = run(kind, made, x, zeros, forms)
    program = Program(FEATURES, (operator(kind, made, forms),), (("y", 1),))
    for stream in range(BATCH):
        reference = ReferenceStream(program)
        expected = reference.push(x[:, stream].numpy())["y"]
        np.testing.assert_array_equal(y[:, stream].detach().numpy(), expected)
        for mine, state in zip(after, reference.states(), strict=True):
            np.testing.assert_array_equal(mine[stream].detach().numpy(), state)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_are_those_of_torch_for_fine_codes(kind: str) -> None:
    """The loss depends on y and the last states; gradients reach x, weights, biases and the first states."""
    forms = FINE_RELU if kind == "relu" else FINE
    found = []
    for ours in (True, False):
        made = layer(kind)
        x = torch.linspace(-1, 1, FRAMES * BATCH * FEATURES).view(FRAMES, BATCH, FEATURES).requires_grad_()
        count = 2 if kind == "lstm" else 1
        state = [(0.1 * torch.ones(1, BATCH, UNITS)).requires_grad_() for _ in range(count)]
        if ours:
            y, after = run(kind, made, x, [one[0] for one in state], forms)
        else:
            y, after = made(x, tuple(state) if count == 2 else state[0])
            after = after if count == 2 else [after]
        torch.autograd.backward(y.square().sum() + sum(one.sum() for one in after))
        found.append([x.grad, *(one.grad for one in state), *(p.grad for p in made.parameters())])
    for mine, theirs in zip(*found, strict=True):
        assert mine is not None
        assert theirs is not None
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-3 * float(theirs.abs().max()))


@pytest.mark.parametrize("bias", [True, False])
def test_an_affine_layer_is_a_linear_operator(bias: bool) -> None:
    torch.manual_seed(0)
    form, linear = Format(8, 0, 16, Reading.FRAME), nn.Linear(FEATURES, UNITS, bias=bias)
    x = torch.randn(2, 3, FEATURES)
    y = affine(x, linear.weight, linear.bias, form)
    exact = to_nearest(linear.weight.detach().numpy(), Precision())
    values = linear.bias.detach().numpy() if bias else np.zeros(UNITS, np.float32)
    op = Linear((0,), Matrix(exact.codes, exact.scales, Reading.FRAME, 16), values)
    expected = ReferenceStream(Program(FEATURES, (op,), (("y", 1),))).push(x.reshape(-1, FEATURES).numpy())["y"]
    assert y.shape == (2, 3, UNITS)
    np.testing.assert_array_equal(y.detach().numpy().reshape(-1, UNITS), expected)


def test_gradients_pass_rounded_weights_unchanged() -> None:
    weight = torch.randn(3, 5, requires_grad=True)
    form = Format(4, 0, 16, Reading.FRAME)
    made = straight(weight, form)
    assert torch.equal(made, rounded(weight, form).values)
    factors = torch.arange(15.0).view(3, 5)
    torch.autograd.backward((made * factors).sum())
    assert weight.grad is not None
    assert torch.equal(weight.grad, factors)

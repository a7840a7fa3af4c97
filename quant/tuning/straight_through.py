"""Torch layers that compute forward as the engine does; gradients go straight through the rounding.

Gradients take the rounded weights, the activations before rounding, and the true derivatives of tanh and sigmoid at
the computed values. The rounding itself counts as the identity (Bengio et al. 2013).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .arithmetic import Format, product, rounded, sigmoid, tanh, without_tiny

Tensors = Sequence[Tensor]
Forms = Sequence[Format]
Answer = tuple[Tensor, Tensors]


class _Affine(torch.autograd.Function):
    """W x + b: `[frames, inputs]` -> `[frames, channels]`."""

    @staticmethod
    def forward(ctx: Any, how: tuple[Format, bool], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401
        form, clamp = how
        matrix = rounded(weight, form)
        ctx.save_for_backward(x, matrix.values)
        return product(matrix, x, clamp=clamp).add_(bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # noqa: ANN401
        x, values = ctx.saved_tensors
        return None, grad @ values, grad.T @ x, grad.sum(0)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None, form: Format, *, clamp: bool = True) -> Tensor:
    """Return W x + b over the last axis, as the engine computes it.

    Args:
        x: float32 `[..., inputs]`.
        weight: float32 `[channels, inputs]`.
        bias: float32 `[channels]`; None: zeros.
        form: The format of the weight.
        clamp: Whether values of an h beyond 1 saturate, as on the engine. Dropout in training makes such values.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else without_tiny(bias)
    made: Tensor = _Affine.apply((form, clamp), x.reshape(-1, x.shape[-1]), weight, bias)  # type: ignore[no-untyped-call]
    return made.view(*x.shape[:-1], -1)


class _Lstm(torch.autograd.Function):
    """The steps of an LSTM, time first. The gates have torch's order i, f, g, o."""

    @staticmethod
    def forward(ctx: Any, form: Format, x: Tensor, weight: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        (h, c), matrix = state, rounded(weight, form)
        units = h.shape[1]
        hs, cs, acts, tanhs = [h], [c], [], []
        halves = x.new_full((4 * units,), 0.5)
        halves[2 * units : 3 * units] = 1.0
        offsets = 0.5 * (halves == 0.5)
        for gates in x:
            act = tanh((gates + product(matrix, hs[-1])) * halves)  # the sigmoid, but tanh for the candidate
            act = act.mul_(halves).add_(offsets)
            i, f, g, o = act.chunk(4, -1)
            cell = without_tiny(f * cs[-1] + i * g)
            bounded = tanh(cell)
            hs.append(o * bounded)
            cs.append(cell)
            acts.append(act)
            tanhs.append(bounded)
        ctx.save_for_backward(matrix.values, *map(torch.stack, (hs, cs, acts, tanhs)))
        return torch.stack(hs[1:]), cs[-1].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_c: Tensor) -> Any:  # noqa: ANN401
        values, hs, cs, acts, tanhs = ctx.saved_tensors
        i, f, g, o = acts.chunk(4, -1)
        into_c = o * (1 - tanhs * tanhs)
        from_c = torch.stack([g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g * g)], 2)
        from_h = tanhs * o * (1 - o)
        dx, dh, dc = torch.empty_like(acts), torch.zeros_like(hs[0]), grad_c
        units = dh.shape[1]
        for t in range(len(acts) - 1, -1, -1):
            dh = dh + grad[t]
            dc = dc + dh * into_c[t]
            dx[t, :, : 3 * units] = (dc[:, None] * from_c[t]).flatten(1)
            dx[t, :, 3 * units :] = dh * from_h[t]
            dh, dc = dx[t] @ values, dc * f[t]
        return None, dx, _outer(dx, hs), dh, dc


class _Gru(torch.autograd.Function):
    """The steps of a GRU, time first. The gates have torch's order r, z, n."""

    @staticmethod
    def forward(ctx: Any, form: Format, x: Tensor, weight: Tensor, *rest: Tensor) -> Tensor:  # noqa: ANN401
        (bias, h), matrix = rest, rounded(weight, form)
        units = h.shape[1]
        hs, gates, news, owns = [h], [], [], []
        for part in x:
            h = hs[-1]
            sums = product(matrix, h)
            gate = sigmoid(part[:, : 2 * units] + sums[:, : 2 * units])
            reset, update = gate.chunk(2, -1)
            own = sums[:, 2 * units :] + bias
            new = tanh(part[:, 2 * units :] + reset * own)
            hs.append(without_tiny((1.0 - update) * new + update * h))
            gates.append(gate)
            news.append(new)
            owns.append(own)
        ctx.save_for_backward(matrix.values, *map(torch.stack, (hs, gates, news, owns)))
        return torch.stack(hs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # noqa: ANN401
        values, hs, gates, news, owns = ctx.saved_tensors
        reset, update = gates.chunk(2, -1)
        to_new = (1 - update) * (1 - news * news)
        to_update = (hs[:-1] - news) * update * (1 - update)
        to_reset = owns * reset * (1 - reset)
        dx, dsums, dh = torch.empty_like(to_new.repeat(1, 1, 3)), torch.empty_like(to_new.repeat(1, 1, 3)), hs[0] * 0
        for t in range(len(news) - 1, -1, -1):
            dh = dh + grad[t]
            new = dh * to_new[t]
            both = torch.cat([new * to_reset[t], dh * to_update[t]], -1)
            dx[t], dsums[t] = torch.cat([both, new], -1), torch.cat([both, new * reset[t]], -1)
            dh = dh * update[t] + dsums[t] @ values
        units = dh.shape[1]
        return None, dx, _outer(dsums, hs), dsums[..., 2 * units :].sum((0, 1)), dh


class _Rnn(torch.autograd.Function):
    """The steps of a plain RNN, time first."""

    @staticmethod
    def forward(ctx: Any, how: tuple[Format, bool], x: Tensor, weight: Tensor, h: Tensor) -> Tensor:  # noqa: ANN401
        form, relu = how
        matrix, hs = rounded(weight, form), [h]
        for part in x:
            sums = part + product(matrix, hs[-1])
            hs.append(without_tiny(sums.clamp_(min=0.0) if relu else tanh(sums)))
        ctx.relu = relu
        ctx.save_for_backward(matrix.values, torch.stack(hs))
        return torch.stack(hs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # noqa: ANN401
        values, hs = ctx.saved_tensors
        slopes = (hs[1:] > 0).to(grad) if ctx.relu else 1 - hs[1:] * hs[1:]
        dx, dh = torch.empty_like(grad), torch.zeros_like(hs[0])
        for t in range(len(grad) - 1, -1, -1):
            dx[t] = (dh + grad[t]) * slopes[t]
            dh = dx[t] @ values
        return None, dx, _outer(dx, hs), dh


def _outer(grads: Tensor, hs: Tensor) -> Tensor:
    """Return the gradient of R: for each step the gradient of the sums times the h before it, added up."""
    return grads.flatten(0, 1).T @ hs[:-1].flatten(0, 1)


class _Straight(torch.autograd.Function):
    """Rounded weights."""

    @staticmethod
    def forward(_: Any, weight: Tensor, form: Format) -> Tensor:  # noqa: ANN401
        return rounded(weight, form).values

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Any:  # noqa: ANN401
        return grad, None


def straight(weight: Tensor, form: Format) -> Tensor:
    """Return the rounded weights as float32; gradients go straight through."""
    made: Tensor = _Straight.apply(weight, form)  # type: ignore[no-untyped-call]
    return made


# ---- one layer: x `[time, batch, features]`; weights, biases and forms of x and of h; states `[batch, hidden]` ----

Cell = Callable[..., tuple[Tensor, Tensors]]


def lstm(x: Tensor, weights: Tensors, biases: Tensors, state: Tensors, forms: Forms, *, clamp: bool) -> Answer:
    """Return h after each step `[time, batch, hidden]`, and the last h and c."""
    gates = affine(x, weights[0], _joined(biases), forms[0], clamp=clamp)
    y, c = _Lstm.apply(forms[1], gates, weights[1], *state)  # type: ignore[no-untyped-call]
    return y, [y[-1], c]


def gru(x: Tensor, weights: Tensors, biases: Tensors, state: Tensors, forms: Forms, *, clamp: bool) -> Answer:
    """Return h after each step `[time, batch, hidden]`, and the last h."""
    gates = 2 * state[0].shape[1]  # update and reset add both biases
    of_x, own = (bias.tensor_split([gates]) for bias in biases)
    sums = affine(x, weights[0], torch.cat([_joined([of_x[0], own[0]]), of_x[1]]), forms[0], clamp=clamp)
    y = _Gru.apply(forms[1], sums, weights[1], without_tiny(own[1]), *state)  # type: ignore[no-untyped-call]
    return y, [y[-1]]


def rnn(
    x: Tensor,
    weights: Tensors,
    biases: Tensors,
    state: Tensors,
    forms: Forms,
    *,
    clamp: bool,
    relu: bool = False,
) -> Answer:
    """Return h after each step `[time, batch, hidden]`, and the last h."""
    sums = affine(x, weights[0], _joined(biases), forms[0], clamp=clamp)
    y = _Rnn.apply((forms[1], relu), sums, weights[1], *state)  # type: ignore[no-untyped-call]
    return y, [y[-1]]


def relu_rnn(x: Tensor, weights: Tensors, biases: Tensors, state: Tensors, forms: Forms, *, clamp: bool) -> Answer:
    """Return what `rnn` does, with ReLU in place of tanh."""
    return rnn(x, weights, biases, state, forms, clamp=clamp, relu=True)


def _joined(biases: Tensors) -> Tensor:
    """Return the sum of both biases, each without tiny values, as the engine adds them."""
    return without_tiny(biases[0]) + without_tiny(biases[1])

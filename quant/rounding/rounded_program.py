"""From a float program to a quantized one: round each sum of products, then put its matrices together again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import Operator
from ...runtime.operators.matrix import FLOAT, LARGEST_CODE, activation_bits
from ...runtime.program import Program
from ..moments.moments import Key, Moments
from ..moments.sums import Sum, matrix, sums_of
from ..observing.layers import changed, layer_of
from .compensated import DAMPING, damped, descend, elimination, error_of, in_order, nearest_codes
from .nearest import Rounded, smallest_scale, to_nearest
from .precision import Precision

OpField = tuple[int, str]  # the index of an operation, and its field that holds a matrix or a bias
SHRINKINGS = (
    1.0,
    0.97,
    0.94,
    0.9,
    0.86,
    0.82,
)  # factors that are tried on the scales; with 1.0 the largest code is the largest weight


@dataclass(frozen=True, eq=False)
class Rounding:
    """What the matrices of a program became.

    Attributes:
        matrices: The quantized matrices.
        biases: What is added to each bias, float32, one value per output channel.
    """

    matrices: dict[OpField, Rounded] = field(default_factory=dict)
    biases: dict[OpField, Floats] = field(default_factory=dict)


def fields_of(program: Program) -> dict[str, OpField]:
    """Return the field that holds each weight, by name; weights that several operations read are left out."""
    found: dict[str, list[OpField]] = {}
    for index, op in enumerate(program.ops):
        for name in dict.fromkeys(name for one in sums_of(op) for name in one.matrices):
            found.setdefault(matrix(op, name).name, []).append((index, name))
    return {name: fields[0] for name, fields in found.items() if len(fields) == 1}


def round_program(
    program: Program,
    precisions: Mapping[OpField, Precision],
    moments: Mapping[Key, Moments] | None,
    seen: Callable[[int], None] = lambda _: None,
    damping: float = DAMPING,
) -> Rounding:
    """Round matrices of a float program.

    Args:
        program: The program.
        precisions: The precision of each matrix to round. The other matrices stay float.
        moments: The moments of each sum's inputs, for compensated rounding; None: round to nearest.
        seen: Called with the number of weights rounded since the last call.
        damping: The fraction of the mean of the moments' diagonal that is added to the diagonal.
    """
    made = Rounding()
    for place, precision in precisions.items():
        if precision.weight_bits != FLOAT:
            made.matrices[place] = to_nearest(matrix(program.ops[place[0]], place[1]).codes, precision)
    for index, op in enumerate(program.ops if moments is not None else ()):
        for number, one in enumerate(sums_of(op)):
            chosen = [(index, name) for name in one.matrices if (index, name) in made.matrices]
            if chosen and moments is not None:
                _round_sum(made, op, one, chosen, _damped(op, one, moments[index, number], damping))
                seen(sum(made.matrices[place].codes[one.channels].size for place in chosen))
    return made


def quantized(program: Program, rounding: Rounding) -> Program:
    """Return a float program with rounded matrices and corrected biases in place of its own."""
    ops = list(program.ops)
    for (index, name), one in rounding.matrices.items():
        ops[index] = changed(ops[index], {name: _matrix(ops[index], name, one)})
    for (index, name), added in rounding.biases.items():
        bias = getattr(layer_of(ops[index]), name)
        ops[index] = changed(ops[index], {name: (bias + added).astype(np.float32)})
    return replace(program, ops=tuple(ops))


def _matrix(op: Operator, name: str, one: Rounded) -> Any:  # noqa: ANN401  a field of any operator
    before, bits = matrix(op, name), one.precision.weight_bits
    group = one.precision.group if one.scales.shape[1] > 1 else 0
    most = activation_bits(one.codes.shape[1], one.precision.activation_bits, bits, group)
    return replace(before, codes=one.codes, scales=one.scales, bits=most, weight_bits=bits, group=group)


def _damped(op: Operator, one: Sum, moments: Moments, damping: float) -> Moments:
    """Return the damped moments that weight errors: about the mean, or about zero if no bias takes the mean error."""
    widths = [matrix(op, name).codes.shape[1] for name in one.matrices]
    about = moments.covariance if one.bias else moments.second
    return Moments(damped(about, widths, damping), moments.mean)


def _round_sum(made: Rounding, op: Operator, one: Sum, fields: list[OpField], moments: Moments) -> None:
    """Round the channels of one sum, its matrices side by side. Codes, scales and the bias in `made` are changed."""
    at = np.cumsum([0, *(matrix(op, name).codes.shape[1] for name in one.matrices)])
    columns = np.concatenate(
        [np.arange(at[i], at[i + 1]) for i, name in enumerate(one.matrices) if any(f[1] == name for f in fields)]
    )
    weights = np.concatenate([matrix(op, name).codes[one.channels] for _, name in fields], 1).astype(np.float64)
    parts = [made.matrices[place] for place in fields]
    codes, scales = _best(weights, moments.covariance[:, columns[:, None], columns], parts, one.channels)
    start, difference = 0, weights.copy()
    for part, scale in zip(parts, scales, strict=True):
        stop = start + part.codes.shape[1]
        part.codes[one.channels], part.scales[one.channels] = codes[:, start:stop], scale
        difference[:, start:stop] -= codes[:, start:stop] * part.steps_of(scale)
        start = stop
    if one.bias:
        place = fields[0][0], one.bias
        bias = made.biases.setdefault(place, np.zeros_like(getattr(layer_of(op), one.bias)))
        bias[one.bias_channels] += np.sum(difference * moments.mean[:, columns], 1).astype(np.float32)


def _best(weights: Array, hessian: Array, parts: list[Rounded], channels: slice) -> tuple[Array, list[Floats]]:
    """Return the codes of all parts side by side, and the scales of each part, for the shrinking that errs least."""
    largest = np.concatenate(
        [np.full(part.codes.shape[1], float(LARGEST_CODE[part.precision.weight_bits])) for part in parts]
    )
    codes, least = np.zeros_like(weights), np.full(len(weights), np.inf)
    scales = [part.scales[channels].copy() for part in parts]
    by = elimination(hessian)
    for shrinking in SHRINKINGS:
        tried = [np.maximum(p.scales[channels] * np.float32(shrinking), smallest_scale(p.scales)) for p in parts]
        steps = _steps(parts, tried)
        for candidate in (in_order(weights, by, steps, largest), nearest_codes(weights, steps, largest)):
            error = error_of(weights - candidate * steps, hessian)
            better = error < least
            codes[better], least[better] = candidate[better], error[better]
            for scale, other in zip(scales, tried, strict=True):
                scale[better] = other[better]
    return descend(weights, hessian, _steps(parts, scales), largest, codes), scales


def _steps(parts: list[Rounded], scales: list[Floats]) -> Array:
    """Return the value of one code of each weight, all parts side by side, float64 `[channels, inputs]`."""
    return np.concatenate([part.steps_of(scale) for part, scale in zip(parts, scales, strict=True)], 1)

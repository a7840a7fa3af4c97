"""From the matrices of a float program to a quantized one: each sum rounded, its matrices put together again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import Operator
from ...runtime.operators.matrix import FLOAT, LARGEST_CODE, activation_bits
from ...runtime.precision import Precision
from ...runtime.program import Program
from ..moments.moments import Key, Moments
from ..moments.sums import Sum, matrix, sums_of
from .compensated import DAMPING, damped, descend, error_of, in_order, nearest
from .nearest import each, rounded, smallest_scale

Place = tuple[int, str]  # an operation of a program and the field that holds a matrix or a bias
SHRINKINGS = (1.0, 0.97, 0.94, 0.9, 0.86, 0.82)  # of the scales that reach the largest weight of each row


@dataclass(frozen=True, eq=False)
class Rounded:
    """A weight matrix in integers.

    Attributes:
        codes: `[rows, columns]`, int8 or int16.
        scales: float32 `[rows, groups]`.
        precision: Its bits and groups.
    """

    codes: Array
    scales: Floats
    precision: Precision


@dataclass(frozen=True, eq=False)
class Rounding:
    """What the matrices of a program became.

    Attributes:
        matrices: The quantized ones.
        biases: What is added to biases, float32, of all rows.
    """

    matrices: dict[Place, Rounded] = field(default_factory=dict)
    biases: dict[Place, Floats] = field(default_factory=dict)


def places_of(program: Program) -> dict[str, Place]:
    """Return where each weight stands, by name; one that several operators read is rounded to nearest, and not here."""
    found: dict[str, list[Place]] = {}
    for index, op in enumerate(program.ops):
        for name in dict.fromkeys(name for one in sums_of(op) for name in one.matrices):
            found.setdefault(matrix(op, name).name, []).append((index, name))
    return {name: places[0] for name, places in found.items() if len(places) == 1}


def round_program(
    program: Program,
    precisions: Mapping[Place, Precision],
    moments: Mapping[Key, Moments] | None,
    seen: Callable[[int], None] = lambda _: None,
    damping: float = DAMPING,
) -> Rounding:
    """Round matrices of a float program.

    Args:
        program: The program.
        precisions: The precision of each matrix to round; the others stay float.
        moments: What each sum reads, for compensated rounding; None: to nearest.
        seen: Is told of weights done.
        damping: What part of the mean of the moments' diagonal is added to it.
    """
    made = Rounding()
    for place, precision in precisions.items():
        if precision.weight_bits != FLOAT:
            weights = matrix(program.ops[place[0]], place[1]).codes
            codes, scales = rounded(weights, precision.weight_bits, precision.group)
            made.matrices[place] = Rounded(codes, scales, precision)
    for index, op in enumerate(program.ops if moments is not None else ()):
        for number, one in enumerate(sums_of(op)):
            chosen = [(index, name) for name in one.matrices if (index, name) in made.matrices]
            if chosen and moments is not None:
                _round_sum(made, op, one, chosen, _damped(op, one, moments[index, number], damping))
                seen(sum(made.matrices[place].codes[one.rows].size for place in chosen))
    return made


def quantized(program: Program, rounding: Rounding) -> Program:
    """Return a float program with what its matrices became."""
    ops = list(program.ops)
    for (index, name), one in rounding.matrices.items():
        ops[index] = replace(ops[index], **{name: _matrix(ops[index], name, one)})
    for (index, name), added in rounding.biases.items():
        bias = getattr(ops[index], name)
        ops[index] = replace(ops[index], **{name: (bias + added).astype(np.float32)})
    return replace(program, ops=tuple(ops))


def _matrix(op: Operator, name: str, one: Rounded) -> Any:  # noqa: ANN401  a field of any operator
    before, bits = matrix(op, name), one.precision.weight_bits
    group = one.precision.group if one.scales.shape[1] > 1 else 0
    most = activation_bits(one.codes.shape[1], one.precision.activation_bits, bits, group)
    return replace(before, codes=one.codes, scales=one.scales, bits=most, weight_bits=bits, group=group)


def _damped(op: Operator, one: Sum, moments: Moments, damping: float) -> Moments:
    """Return the moments that errors are weighed by: damped, about zero where no bias can take the mean."""
    widths = [matrix(op, name).codes.shape[1] for name in one.matrices]
    about = moments.covariance if one.bias else moments.second
    return Moments(damped(about, widths, damping), moments.mean)


def _round_sum(made: Rounding, op: Operator, one: Sum, places: list[Place], moments: Moments) -> None:
    """Round the rows of one sum, its matrices side by side, into codes, scales and bias."""
    at = np.cumsum([0, *(matrix(op, name).codes.shape[1] for name in one.matrices)])
    columns = np.concatenate(
        [np.arange(at[i], at[i + 1]) for i, name in enumerate(one.matrices) if any(p[1] == name for p in places)]
    )
    weights = np.concatenate([matrix(op, name).codes[one.rows] for _, name in places], 1).astype(np.float64)
    parts = [made.matrices[place] for place in places]
    codes, scales = _best(weights, moments.covariance[:, columns[:, None], columns], parts, one.rows)
    start, difference = 0, weights.copy()
    for part, scale in zip(parts, scales, strict=True):
        stop = start + part.codes.shape[1]
        part.codes[one.rows], part.scales[one.rows] = codes[:, start:stop], scale
        difference[:, start:stop] -= codes[:, start:stop] * _steps(part, scale)
        start = stop
    if one.bias:
        place = places[0][0], one.bias
        bias = made.biases.setdefault(place, np.zeros_like(getattr(op, one.bias)))
        bias[one.bias_rows] += np.sum(difference * moments.mean[:, columns], 1).astype(np.float32)


def _best(weights: Array, hessian: Array, parts: list[Rounded], rows: slice) -> tuple[Array, list[Floats]]:
    """Return codes of all parts side by side and the scales of each: of several scales those with the least error."""
    largest = np.concatenate(
        [np.full(part.codes.shape[1], float(LARGEST_CODE[part.precision.weight_bits])) for part in parts]
    )
    codes, least = np.zeros_like(weights), np.full(len(weights), np.inf)
    scales = [part.scales[rows].copy() for part in parts]
    for shrinking in SHRINKINGS:
        tried = [np.maximum(p.scales[rows] * np.float32(shrinking), smallest_scale(p.scales)) for p in parts]
        steps = np.concatenate([_steps(part, scale) for part, scale in zip(parts, tried, strict=True)], 1)
        for candidate in (in_order(weights, hessian, steps, largest), nearest(weights, steps, largest)):
            error = error_of(weights - candidate * steps, hessian)
            better = error < least
            codes[better], least[better] = candidate[better], error[better]
            for scale, other in zip(scales, tried, strict=True):
                scale[better] = other[better]
    steps = np.concatenate([_steps(part, scale) for part, scale in zip(parts, scales, strict=True)], 1)
    return descend(weights, hessian, steps, largest, codes), scales


def _steps(part: Rounded, scales: Floats) -> Array:
    """Return the value of one code of each weight, float64 `[rows, columns]`."""
    columns = part.codes.shape[1]
    spread = each(scales, columns, part.precision.group)
    return np.broadcast_to(spread, (len(scales), columns)).astype(np.float64)

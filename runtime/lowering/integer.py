"""Programs without floats: operations become integer operations, with exponents from the file.

The metadata of a quantized file gives the exponents of each operation under the first output of its node:
`{"integer": {"lstm_out": [{"input": 12, "state": [13, 9]}]}}`. A node may become several operations. An operation
without exponents stays as it is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import floor, log2
from typing import cast

import numpy as np

from ..arrays import Array, Floats
from ..errors import ModelError
from ..operators import (
    Elementwise,
    Gru,
    GruWithOptions,
    IntegerAffine,
    IntegerGru,
    IntegerGruWithOptions,
    IntegerLinear,
    IntegerLstm,
    IntegerLstmWithOptions,
    IntegerMap,
    Linear,
    Lstm,
    LstmWithOptions,
    Map,
    Operator,
)
from ..operators.integer import INTEGER_MAPS, IntegerOptions
from ..operators.matrix import Matrix, Reading
from ..operators.numbers.fixed import (
    GATE,
    LEAST_EXPONENT,
    MOST_EXPONENT,
    MOST_SUM,
    STATE_BITS,
    UNIT,
    fixed_bits,
    largest,
)
from ..program import Program

Exponents = Mapping[str, int | list[int]]  # input and output: one number; state: one per unit

# The exponents that each operation needs. The codes of h need none: h lies within (-1, 1).
NEEDS: dict[type[Operator], tuple[str, ...]] = {
    Lstm: ("input", "state"),
    Gru: ("input",),
    LstmWithOptions: ("input", "state"),
    GruWithOptions: ("input",),
    Linear: ("input", "output"),
    Elementwise: ("input", "output"),
    Map: (),
}
FACTORS = {"add": 1.0, "sub": 1.0, "from": -1.0}  # the factor of x if a constant is added
LIMITS = {"state": (0, UNIT)}  # limits of exponents; other exponents have the limits of codes


def has_integer_form(op: Operator) -> bool:
    """Return whether an operation has an integer form."""
    if isinstance(op, Map):
        return op.function in INTEGER_MAPS
    if isinstance(op, Elementwise):
        scale = _factor(op)
        return scale is not None and bool(np.all((np.abs(scale) >= 2.0**-40) & (np.abs(scale) <= 2.0**40)))
    if isinstance(op, LstmWithOptions | GruWithOptions) and not _options_fit(op):
        return False
    matrices = op.record().matrices
    return type(op) in NEEDS and all(m.weight_bits == 8 and m.scales.shape[1] == 1 for m in matrices)


def _options_fit(op: LstmWithOptions | GruWithOptions) -> bool:
    """Return whether integers can express the options: sigmoid and tanh, a GRU that resets first, h alone as answer."""
    fits = op.p is None and not op.gives_c if isinstance(op, LstmWithOptions) else op.options.reset_first
    return fits and op.options.activations == op.kind.plain.activations


def offset(op: Elementwise) -> Floats:
    """Return the constant that an operation adds, float32 `[width]`; zeros if it multiplies."""
    if op.function not in FACTORS:
        return np.zeros_like(op.constant)
    return -op.constant if op.function == "sub" else op.constant


def _factor(op: Elementwise) -> Floats | None:
    """Return the factor of x; None if the operation neither adds nor multiplies."""
    if op.function in FACTORS:
        return np.full_like(op.constant, FACTORS[op.function])
    with np.errstate(divide="ignore"):
        return {"mul": op.constant, "div": np.float32(1) / op.constant}.get(op.function)


def keys(program: Program) -> list[tuple[str, int]]:
    """Return the key of each operation in a file: the first output of its node, and its place in that node."""
    seen: Counter[str] = Counter()
    found = []
    for node in program.nodes:
        found.append((node, seen[node]))
        seen[node] += 1
    return found


def described(program: Program, exponents: Mapping[int, Exponents]) -> dict[str, list[Exponents | None]]:
    """Return exponents, given by the index of an operation, in the form of the file."""
    made: dict[str, list[Exponents | None]] = {}
    for index, (node, _) in enumerate(keys(program)):
        made.setdefault(node, []).append(exponents.get(index))
    return {node: given for node, given in made.items() if any(one is not None for one in given)}


def in_integers(program: Program, given: Mapping[str, Sequence[Exponents | None]]) -> Program:
    """Return a program with integer operations where the file gives exponents.

    Raises:
        ModelError: The exponents do not fit the graph.
    """
    ops, unread = list(program.ops), {(node, place) for node, listed in given.items() for place in range(len(listed))}
    for index, (node, place) in enumerate(keys(program)):
        unread.discard((node, place))
        listed = given.get(node, ())
        exponents = listed[place] if place < len(listed) else None
        if exponents is not None:
            ops[index] = _integer(ops[index], _checked(ops[index], exponents, node))
    if unread:
        raise ModelError(f"integer arithmetic: the graph has no operation {min(unread)}; quantize the file again")
    return replace(program, ops=tuple(ops))


def _checked(op: Operator, exponents: Exponents, node: str) -> Exponents:
    needs = NEEDS.get(type(op), ())
    if not has_integer_form(op) or not isinstance(exponents, dict) or set(exponents) != set(needs):
        raise ModelError(
            f"integer arithmetic: {node!r}: exponents {exponents} do not fit the operation, wanted "
            f"{', '.join(needs) or 'none'}; quantize the file again"
        )
    for name, given in exponents.items():
        least, most = LIMITS.get(name, (LEAST_EXPONENT, MOST_EXPONENT))
        wanted = cast("Lstm", op).hidden if name == "state" else 1
        listed = given if isinstance(given, list) and name == "state" else [given]
        if len(listed) != wanted or not all(type(e) is int and least <= e <= most for e in listed):
            raise ModelError(
                f"integer arithmetic: {node!r}: {name} is {str(given)[:80]}, "
                f"wanted {wanted} whole number{'s' * (wanted != 1)} of {least} to {most}"
            )
    return exponents


def _integer(op: Operator, given: Exponents) -> Operator:
    if isinstance(op, Map):
        return IntegerMap(op.inputs, op.function)
    e = {name: exponent for name, exponent in given.items() if isinstance(exponent, int)}
    if isinstance(op, Elementwise):
        scale = np.asarray(_factor(op), np.float32)
        return IntegerAffine(op.inputs, scale, _codes(offset(op), e["output"]), e["input"], e["output"])
    if isinstance(op, Linear):
        return IntegerLinear(op.inputs, _fixed(op.w, e["input"]), _codes(op.bias, e["output"]), e["output"])
    cell = cast("Lstm | Gru", op)
    w, r, bias = _fixed(cell.w, e["input"]), _own(cell.r), _codes(cell.bias, GATE)
    if isinstance(cell, Lstm):
        parts = op.inputs, w, r, bias, cell.h, cell.c, np.array(given["state"])
        return (
            IntegerLstmWithOptions(*parts, _options(cell)) if isinstance(cell, LstmWithOptions) else IntegerLstm(*parts)
        )
    if isinstance(cell, GruWithOptions):
        unused = np.zeros(cell.hidden, np.int64)
        return IntegerGruWithOptions(op.inputs, w, r, bias, unused, cell.h, _options(cell))
    return IntegerGru(op.inputs, w, r, bias, _codes(cell.candidate_bias, GATE), cell.h)


def _options(cell: LstmWithOptions | GruWithOptions) -> IntegerOptions:
    """Return the options of a cell in integers."""
    own, values = cell.options, cell.peepholes if isinstance(cell, LstmWithOptions) else None
    clip = int(_codes(np.array([own.clip], np.float32), GATE)[0]) or int(own.clip > 0)
    made = IntegerOptions(clip, own.coupled, own.reset_first)
    if values is None:
        return made
    most = float(np.max(np.abs(values))) or 1.0
    exponent = min(max(floor(log2(largest(STATE_BITS) / most)), LEAST_EXPONENT), MOST_EXPONENT)
    nearest = np.floor(values.astype(np.float64) * 2.0**exponent + 0.5).astype(np.int64)
    return replace(made, peepholes=np.clip(nearest, -largest(STATE_BITS), largest(STATE_BITS)), exponent=exponent)


def _fixed(matrix: Matrix, exponent: int) -> Matrix:
    return replace(matrix, reading=Reading.FIXED, bits=fixed_bits(matrix.codes.shape[1]), exponent=exponent)


def _own(matrix: Matrix) -> Matrix:
    """Return R with the exponent of h, whose largest code stands for 1."""
    return _fixed(matrix, fixed_bits(matrix.codes.shape[1]) - 1)


def _codes(values: Floats, exponent: int) -> Array:
    """Return biases as int32 codes."""
    nearest = np.floor(values.astype(np.float64) * 2.0**exponent + 0.5)
    return np.clip(nearest, -MOST_SUM, MOST_SUM).astype(np.int64)

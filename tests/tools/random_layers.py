"""Random weights and layers for the engine, of given sizes, for tests and golden vectors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.cells import ACTIVATIONS, GRU, LSTM, RNN, Activation, CellKind, CellOptions
from tidegate.runtime.operators import (
    HIDDEN,
    Cell,
    Embedding,
    Gru,
    GruWithOptions,
    IntegerAffine,
    IntegerGru,
    IntegerGruWithOptions,
    IntegerLinear,
    IntegerLstm,
    IntegerLstmWithOptions,
    Lstm,
    LstmProjected,
    LstmWithOptions,
    Operator,
    Rnn,
    RnnWithOptions,
    Slot,
)
from tidegate.runtime.operators.integer import IntegerOptions
from tidegate.runtime.operators.matrix import FLOAT, GROUP_SIZES, LARGEST_CODE
from tidegate.runtime.operators.numbers import fixed
from tidegate.runtime.operators.numbers.fixed import GATE, MOST_SUM, fixed_bits
from tidegate.runtime.program import Matrix, Program, Reading, activation_bits

FORMATS = [(bits, group) for bits in LARGEST_CODE for group in (0, *GROUP_SIZES)] + [(FLOAT, 0)]


def matrix(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> Matrix:
    """Return random weights; some output channels have codes or scales at their extremes.

    Args:
        rng: The random generator.
        rows: Number of output channels.
        columns: Number of inputs.
        reading: How the matrix quantizes its input.
        most_bits: The largest number of bits of an activation.
        weights: Weight bits and group size (0: no groups); None: any of FORMATS.
    """
    weight_bits, group = weights or FORMATS[rng.integers(len(FORMATS))]
    if weight_bits == FLOAT:
        floats = rng.normal(0, 0.3, (rows, columns)).astype(np.float32)
        return Matrix(floats, np.ones((rows, 1), np.float32), reading, most_bits, FLOAT)
    largest = LARGEST_CODE[weight_bits]
    codes = rng.integers(-largest, largest + 1, (rows, columns)).astype(np.int16 if weight_bits == 16 else np.int8)
    codes[rng.random(rows) < 0.1] = largest
    codes[rng.random(rows) < 0.1] = 0
    groups = -(-columns // group) if group else 1
    scales = (2.0 ** rng.uniform(-14, -5, (rows, groups)) * (127 / largest)).astype(np.float32)
    return Matrix(codes, scales, reading, activation_bits(columns, most_bits, weight_bits, group), weight_bits, group)


def by_constants(rng: np.random.Generator, op: Operator) -> Operator:
    """Return the operator; some of its matrices now quantize their input by a constant, which may be too small."""
    changed: dict[str, Any] = {}
    for name in ("w", "r", "p"):
        weights = getattr(op, name, None)
        if isinstance(weights, Matrix) and weights.reading is not Reading.FIXED and rng.random() < 0.5:
            changed[name] = replace(weights, reading=Reading.CONSTANT, range=np.float32(2.0 ** rng.uniform(-4, 4)))
    return replace(op, **changed)


def weaker(weights: Matrix, factor: np.float32) -> Matrix:
    """Return weights times a factor below 1."""
    if weights.weight_bits == FLOAT:
        return replace(weights, codes=weights.codes * factor)
    return replace(weights, scales=np.maximum(weights.scales * factor, np.float32(2.0**-24)))


def lstm(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> Lstm:
    """Return a random LSTM layer of sizes (inputs, hidden), in most cases with a bias."""
    inputs, hidden = sizes
    bias = rng.normal(0, 1, 4 * hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, 4 * hidden, inputs, reading, most_bits, weights=weights)
    r = matrix(rng, 4 * hidden, hidden, Reading.HIDDEN, most_bits, weights=weights)
    return Lstm((value,), w, r, bias, Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0))


def gru(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> Gru:
    """Return a random GRU layer of sizes (inputs, hidden), in most cases with biases."""
    inputs, hidden = sizes
    bias, own = (rng.normal(0, 1, n * hidden).astype(np.float32) * np.float32(rng.random() < 0.8) for n in (3, 1))
    w = matrix(rng, 3 * hidden, inputs, reading, most_bits, weights=weights)
    r = matrix(rng, 3 * hidden, hidden, Reading.HIDDEN, most_bits, weights=weights)
    return Gru((value,), w, r, bias, own, Slot(f"l{value}.h", 0))


def rnn(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    function: str,
    weights: tuple[int, int] | None = (8, 0),
) -> Rnn:
    """Return a random RNN layer of sizes (inputs, hidden), in most cases with a bias; with relu h may grow."""
    inputs, hidden = sizes
    bias = rng.normal(0, 1, hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, hidden, inputs, reading, most_bits, weights=weights)
    own = Reading.FRAME if function == "relu" else Reading.HIDDEN
    r = matrix(rng, hidden, hidden, own, most_bits, weights=weights)
    if function == "relu":  # h grows at most fourfold per step, so that most streams stay within bounds
        r = weaker(r, np.float32(2.0 ** rng.uniform(-6, 0) / hidden))
    return Rnn((value,), function, w, r, bias, Slot(f"l{value}.h", 0))


def lstm_projected(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> LstmProjected:
    """Return a random LSTM layer of sizes (inputs, hidden, projected), in most cases with a bias."""
    inputs, hidden, projected = sizes
    bias = rng.normal(0, 1, 4 * hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, 4 * hidden, inputs, reading, most_bits, weights=weights)
    r = matrix(rng, 4 * hidden, projected, Reading.FRAME, most_bits, weights=weights)
    p = matrix(rng, projected, hidden, Reading.HIDDEN, most_bits, weights=weights)
    return LstmProjected((value,), w, r, p, bias, Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0))


def cell(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    kind: str,
    weights: tuple[int, int] | None = (8, 0),
) -> Lstm | Gru | Rnn:
    """Return a random layer of one kind: lstm, gru, tanh or relu (the last two are RNNs)."""
    if kind in ("tanh", "relu"):
        return rnn(rng, value, sizes, reading, most_bits, function=kind, weights=weights)
    return (lstm if kind == "lstm" else gru)(rng, value, sizes, reading, most_bits, weights=weights)


def cell_options(rng: np.random.Generator, kind: CellKind) -> CellOptions:
    """Return random options; in half of the cases the activations are those of PyTorch's layer."""
    names = kind.activations[0] if rng.random() < 0.5 else rng.choice(list(ACTIVATIONS), len(kind.activations[0]))
    numbers = [[float(np.float32(n)) for n in rng.normal(0.3, 0.4, len(ACTIVATIONS[name][0]))] for name in names]
    return CellOptions(
        tuple(Activation(str(name), *own) for name, own in zip(names, numbers, strict=True)),
        clip=float(np.float32(rng.uniform(0.2, 3))) if rng.random() < 0.3 else 0.0,
        coupled=kind is LSTM and bool(rng.random() < 0.4),
        reset_first=kind is GRU and bool(rng.random() < 0.6),
    )


def _reading(layer: Any) -> Reading:  # noqa: ANN401  a cell
    return Reading.HIDDEN if layer.is_bounded else Reading.FRAME


def lstm_with_options(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, ...],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
    options: CellOptions | None = None,
    gives_c: bool = False,
) -> LstmWithOptions:
    """Return a random LSTM layer of sizes (inputs, hidden) or (inputs, hidden, projected), with options."""
    inputs, hidden, width = (*sizes, sizes[1])[:3]
    form = options or cell_options(rng, LSTM)
    peepholes = rng.normal(0, 0.5, 3 * hidden).astype(np.float32) if rng.random() < 0.5 else None
    bias = rng.normal(0, 1, 4 * hidden).astype(np.float32)
    w = matrix(rng, 4 * hidden, inputs, reading, most_bits, weights=weights)
    r = matrix(rng, 4 * hidden, width, Reading.HIDDEN, most_bits, weights=weights)
    slots = Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0)
    layer = LstmWithOptions((value,), w, r, bias, *slots, options=form, peepholes=peepholes, gives_c=gives_c)
    if len(sizes) == 3:
        p = matrix(rng, width, hidden, _reading(layer), most_bits, weights=weights)
        layer = replace(layer, p=p)
    return replace(layer, r=_own(rng, layer, width))


def _own(rng: np.random.Generator, layer: Any, width: int) -> Matrix:  # noqa: ANN401  a cell
    """Return R of a cell with options; if h has no bound, most streams stay within bounds."""
    r = layer.r if layer.is_bounded else weaker(layer.r, np.float32(2.0 ** rng.uniform(-6, 0) / width))
    return replace(r, reading=_reading(layer))


def gru_with_options(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
    options: CellOptions | None = None,
) -> GruWithOptions:
    """Return a random GRU layer of sizes (inputs, hidden), with options."""
    plain = gru(rng, value, sizes, reading, most_bits, weights=weights)
    form = options or cell_options(rng, GRU)
    own = plain.candidate_bias * np.float32(not form.reset_first)
    layer = GruWithOptions((value,), plain.w, plain.r, plain.bias, own, plain.h, options=form)
    return replace(layer, r=_own(rng, layer, sizes[1]))


def rnn_with_options(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
    options: CellOptions | None = None,
) -> RnnWithOptions:
    """Return a random RNN layer of sizes (inputs, hidden), with options."""
    plain = rnn(rng, value, sizes, reading, most_bits, function="tanh", weights=weights)
    layer = RnnWithOptions((value,), plain.w, plain.r, plain.bias, plain.h, options or cell_options(rng, RNN))
    return replace(layer, r=_own(rng, layer, sizes[1]))


def cell_with_options(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int],
    reading: Reading,
    most_bits: int,
    *,
    kind: CellKind,
    weights: tuple[int, int] | None = (8, 0),
    options: CellOptions | None = None,
) -> Cell:
    """Return a random layer of one kind, with options."""
    make: Any = {LSTM: lstm_with_options, GRU: gru_with_options, RNN: rnn_with_options}[kind]
    made: Cell = make(rng, value, sizes, reading, most_bits, weights=weights, options=options)
    return made


def random_starts(rng: np.random.Generator, ops: Sequence[Operator]) -> dict[Slot, Floats]:
    """Return initial values for about half of the state vectors; some are far above 1, some are 0."""
    found = {}
    for op in ops:
        for slot, zeros in zip(op.slots, op.initial(), strict=False):
            values = rng.normal(0, 2.0 ** rng.integers(-4, 8), zeros.size).astype(np.float32)
            values[rng.random(zeros.size) < 0.2] = 0
            if rng.random() < 0.5 and slot != HIDDEN:
                found[slot] = values
    return found


def embedding(table: Matrix | Floats) -> Program:
    """Return a program of a table of ids and an LSTM."""
    layer = lstm(np.random.default_rng(0), 1, (4, 5), Reading.FRAME, 16)
    return Program(1, (Embedding((0,), table), layer), (("y", 2),), ids=True)


def fixed_matrix(rng: np.random.Generator, rows: int, columns: int, bits: int | None = None) -> Matrix:
    """Return random weights of an integer operator; the scale of its input is a power of two."""
    weights = matrix(rng, rows, columns, Reading.FIXED, 16)
    exponent = int(rng.integers(4, 16)) if rng.random() < 0.8 else int(rng.integers(-40, 61))
    bits = fixed_bits(columns) if bits is None else bits
    return replace(weights, bits=bits, exponent=exponent)


def own_matrix(rng: np.random.Generator, rows: int, hidden: int) -> Matrix:
    """Return random weights of an integer operator whose input is its own h."""
    bits = min(fixed_bits(hidden), int(rng.choice([16, 16, 12, 2])))
    return replace(fixed_matrix(rng, rows, hidden, bits), exponent=bits - 1)


def sums(rng: np.random.Generator, count: int) -> Array:
    """Return random biases of integer operators; some are the smallest or the largest number allowed."""
    found = rng.integers(-(2 << GATE), (2 << GATE) + 1, count)
    found[rng.random(count) < 0.05] = MOST_SUM
    found[rng.random(count) < 0.05] = -MOST_SUM
    return found


def integer_lstm(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerLstm:
    """Return a random integer LSTM layer of sizes (inputs, hidden)."""
    inputs, hidden = sizes
    w, r = fixed_matrix(rng, 4 * hidden, inputs), own_matrix(rng, 4 * hidden, hidden)
    h, c = Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0)
    return IntegerLstm((value,), w, r, sums(rng, 4 * hidden), h, c, rng.integers(0, fixed.UNIT + 1, hidden))


def integer_gru(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerGru:
    """Return a random integer GRU layer of sizes (inputs, hidden)."""
    inputs, hidden = sizes
    w, r = fixed_matrix(rng, 3 * hidden, inputs), own_matrix(rng, 3 * hidden, hidden)
    return IntegerGru((value,), w, r, sums(rng, 3 * hidden), sums(rng, hidden), Slot(f"l{value}.h", 0))


def integer_lstm_with_options(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerLstmWithOptions:
    """Return a random integer LSTM layer of sizes (inputs, hidden), with options."""
    peepholes = rng.integers(-32767, 32768, 3 * sizes[1]) if rng.random() < 0.6 else None
    clip, exponent = (int(rng.integers(*ends)) * int(rng.random() < 0.6) for ends in ((1, 4 << GATE), (-4, 20)))
    options = IntegerOptions(clip, bool(rng.random() < 0.5), peepholes=peepholes, exponent=exponent)
    plain = integer_lstm(rng, value, sizes)
    parts = plain.w, plain.r, plain.bias, plain.h, plain.c, plain.exponents
    return IntegerLstmWithOptions((value,), *parts, options)


def integer_gru_with_options(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerGruWithOptions:
    """Return a random integer GRU layer of sizes (inputs, hidden) whose reset gate comes first."""
    clip, plain = int(rng.integers(1, 4 << GATE)) * int(rng.random() < 0.5), integer_gru(rng, value, sizes)
    options = IntegerOptions(clip, reset_first=True)
    return IntegerGruWithOptions((value,), plain.w, plain.r, plain.bias, plain.candidate_bias, plain.h, options)


def integer_linear(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerLinear:
    """Return a random integer linear layer of sizes (inputs, outputs)."""
    inputs, outputs = sizes
    w = fixed_matrix(rng, outputs, inputs)
    return IntegerLinear((value,), w, sums(rng, outputs), int(rng.integers(8, 24)))


def integer_affine(rng: np.random.Generator, value: int, width: int) -> IntegerAffine:
    """Return a random integer operator that scales each feature and adds a constant."""
    scale = (2.0 ** rng.uniform(-12, 6, width) * rng.choice([-1, 1], width)).astype(np.float32)
    return IntegerAffine((value,), scale, sums(rng, width), *(int(rng.integers(8, 24)) for _ in range(2)))

"""Programs for the golden vectors: each cell in each precision, each function of each other operator."""

from dataclasses import replace
from typing import Any

import numpy as np
from tidegate.runtime.cells import ACTIVATIONS, GRU, LSTM, RNN, Activation, CellOptions
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import (
    HIDDEN,
    OPERATORS,
    Align,
    Backward,
    Binary,
    BlockStart,
    Cell,
    Concat,
    Constant,
    Convolution,
    Depthwise,
    Elementwise,
    Embedding,
    Folded,
    Fourier,
    Geometry,
    IntegerMap,
    Last,
    LastCell,
    LayerNorm,
    Linear,
    Map,
    Operator,
    Reduce,
    Slice,
    Slot,
    Softmax,
    Static,
    Take,
    Window,
)
from tidegate.runtime.operators.fourier import roots_of_unity
from tidegate.runtime.operators.integer import INTEGER_MAPS
from tidegate.runtime.operators.matrix import FLOAT, Reading
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS, NUMBERS
from tidegate.runtime.program import Program
from tools.random_layers import (
    FORMATS,
    cell,
    cell_with_options,
    integer_affine,
    integer_gru,
    integer_gru_with_options,
    integer_linear,
    integer_lstm,
    integer_lstm_with_options,
    lstm_projected,
    lstm_with_options,
    matrix,
    random_starts,
    weaker,
)

WIDTH, UNITS = 37, 11  # odd sizes: groups of 8 and 32 that are not full, incomplete panels, padding
KINDS = ("lstm", "gru", "tanh", "relu")
FEATURES = 9  # for the operators without matrices


def precision(weights: tuple[int, int], bits: int) -> str:
    """Return the name of a precision, for example W8A16g32."""
    weight_bits, group = weights
    return "float32" if weight_bits == FLOAT else f"W{weight_bits}A{bits}" + (f"g{group}" if group else "")


def every_output(width: int, ops: list[Operator], first: int = 1, *, ids: bool = False) -> Program:
    """Return a program; every value from number `first` on is an output."""
    outputs = tuple((f"y{value}", value) for value in range(first, len(ops) + 1))
    return Program(width, tuple(ops), outputs, ids)


def cells(weights: tuple[int, int], bits: int) -> Program:
    """Return a program of every operator that has matrices, on one input, all weights in one format."""
    rng = np.random.default_rng(bits)
    bias = rng.normal(0, 1, UNITS).astype(np.float32)
    ops: list[Operator] = [
        Linear((0,), matrix(rng, UNITS, WIDTH, Reading.FRAME, bits, weights=weights), bias),
        *(cell(rng, 0, (WIDTH, UNITS), Reading.FRAME, bits, kind=kind, weights=weights) for kind in KINDS),
        lstm_projected(rng, 0, (WIDTH, UNITS, 10), Reading.FRAME, bits, weights=weights),
    ]
    return every_output(WIDTH, [_renamed(op, place) for place, op in enumerate(ops)])


def _renamed(op: Operator, place: int) -> Operator:
    if not isinstance(op, Cell):
        return op
    names = dict(zip(("h", "c"), op.slots, strict=False))
    changes: dict[str, Any] = {key: replace(slot, name=f"l{place}.{key}") for key, slot in names.items()}
    return replace(op, **changes)


def states() -> Program:
    """Return a program of the final h and c of each kind of LSTM."""
    rng = np.random.default_rng(7)
    ops = [
        cell(rng, 0, (FEATURES, UNITS), Reading.FRAME, 16, kind="lstm", weights=(8, 0)),
        lstm_projected(rng, 0, (FEATURES, UNITS, 10), Reading.FRAME, 16, weights=(8, 0)),
        integer_lstm(rng, 0, (FEATURES, UNITS)),
    ]
    finals: list[Operator] = [made for layer in (1, 2, 3) for made in (Last((layer,)), LastCell((layer,), UNITS))]
    return every_output(FEATURES, [*(_renamed(op, place) for place, op in enumerate(ops)), *finals])


def cells_of_frames() -> Program:
    """Return a program of LSTMs that answer with h and c of each frame, forward and backward, one with a projection."""
    rng = np.random.default_rng(10)
    sizes = [(FEATURES, UNITS), (FEATURES, UNITS, 10)]
    layers: list[Operator] = [
        _tamed(lstm_with_options(rng, 0, one, Reading.FRAME, 16, options=LSTM.plain, gives_c=True)) for one in sizes
    ]
    blocks = Blocks(5, 3)
    ops = [*layers, *(Backward((0,), layer, blocks) for layer in layers if isinstance(layer, Cell))]
    program = every_output(FEATURES, [_renamed(op, place) for place, op in enumerate(ops)])
    return replace(program, blocks=blocks)


def tables() -> Program:
    """Return a program of one table of ids in each format."""
    rng = np.random.default_rng(3)
    ops: list[Operator] = []
    for weights in FORMATS:
        table = matrix(rng, 13, WIDTH, Reading.FRAME, 16, weights=weights)
        ops.append(Embedding((0,), table.codes if weights[0] == FLOAT else table))
    return every_output(1, ops, ids=True)


def functions() -> Program:
    """Return a program of every other operator with each of its functions, applied to positive values."""
    rng = np.random.default_rng(4)

    def constants(count: int = FEATURES) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.uniform(0.1, 3, count).astype(np.float32)

    def numbers(name: str) -> tuple[float, ...]:
        return tuple(float(n) for n in constants(NUMBERS.get(name, 0)))

    x = 2  # this value and all later ones are above 0
    ops: list[Operator] = [Map((0,), "sigmoid"), *(Elementwise((1,), "add", constants()) for _ in range(2))]
    ops += [Map((x,), name, numbers(name)) for name in MAPS]
    ops += [Elementwise((x,), name, constants()) for name in CONSTANTS]
    ops += [Binary((x, x + 1), name) for name in BINARIES]
    ops += [Reduce((x,), name) for name in REDUCTIONS]
    ops += [Softmax((x,), name) for name in SOFTMAXES]
    ops += [
        LayerNorm((x,), constants(), constants(), float(np.float32(1e-5))),
        Slice((x,), 1, 4, 2),
        Concat((x, 0)),
        Window((0,), 3, 2, FEATURES, Slot("tail", 0)),
        Constant((0,), constants()),
        Static((0,), Slot("s.static", 0), FEATURES),
        Last((x,)),
    ]
    return every_output(FEATURES, ops)


def lookahead(blocks: Blocks) -> Program:
    """Return a program of the backward direction of every cell, operators that wait, and a window that looks ahead."""
    rng = np.random.default_rng(5)
    weights, features = (8, 0), 7
    cells = [
        *(cell(rng, 0, (features, UNITS), Reading.FRAME, 16, kind=kind, weights=weights) for kind in KINDS),
        lstm_projected(rng, 0, (features, UNITS, 10), Reading.FRAME, 16, weights=weights),
    ]
    ops: list[Operator] = [Backward((0,), layer, blocks) for layer in cells]
    ops += [
        Align((1, 0)),
        Concat((1, 6)),
        BlockStart((1,), blocks),
        Last((8,)),
        Window((0,), 4, 3, features, HIDDEN, 5),
    ]
    above = cell(rng, 10, (4 * features, UNITS), Reading.FRAME, 8, kind="gru", weights=weights)
    ops += [Backward((10,), above, blocks), Align((11, 10)), Concat((11, 12))]
    return replace(every_output(features, ops), blocks=blocks)


def integers() -> Program:
    """Return a program of every operator that computes without floats; some cells are stacked."""
    rng = np.random.default_rng(6)
    ops: list[Operator] = [
        integer_affine(rng, 0, WIDTH),
        integer_lstm(rng, 1, (WIDTH, UNITS)),
        integer_gru(rng, 2, (UNITS, 10)),
        integer_linear(rng, 3, (10, 7)),
        *(IntegerMap((4,), name) for name in INTEGER_MAPS),
        integer_lstm(rng, 0, (WIDTH, 1)),
        integer_gru(rng, 0, (WIDTH, UNITS)),
        integer_linear(rng, 0, (WIDTH, UNITS)),
    ]
    return every_output(WIDTH, [_renamed(op, place) for place, op in enumerate(ops)])


def starts() -> Program:
    """Return a program of every operator with a state, most of whose state vectors do not start from zeros."""
    rng = np.random.default_rng(7)
    floats = [cell(rng, 0, (WIDTH, UNITS), Reading.FRAME, 16, kind=kind, weights=(FLOAT, 0)) for kind in KINDS]
    codes = [cell(rng, 0, (WIDTH, UNITS), Reading.FRAME, 8, kind=kind) for kind in KINDS]
    ops: list[Operator] = [
        *floats,
        *codes,
        lstm_projected(rng, 0, (WIDTH, UNITS, 10), Reading.FRAME, 16),
        integer_lstm(rng, 0, (WIDTH, UNITS)),
        integer_gru(rng, 0, (WIDTH, UNITS)),
        Window((0,), 3, 2, WIDTH, Slot("tail", 0)),
    ]
    program = every_output(WIDTH, [_renamed(op, place) for place, op in enumerate(ops)])
    return replace(program, starts=random_starts(rng, program.ops))


def _tamed(op: Any) -> Operator:  # noqa: ANN401  a cell with options
    """Return a cell whose sums are so small that no activation takes its state out of range."""
    matrices = {name: getattr(op, name) for name in ("w", "p") if getattr(op, name, None) is not None}
    changes: dict[str, Any] = {name: weaker(one, np.float32(2.0**-5)) for name, one in matrices.items()}
    tamed: Operator = replace(op, bias=op.bias * np.float32(0.125), **changes)
    return tamed


def options() -> Program:
    """Return a program of cells with options on values within (-1, 1): each activation, each option, each format.

    Every other LSTM is projected. The last cells run backward.
    """
    rng = np.random.default_rng(8)
    functions = [Activation(name, *(0.5, 0.25)[: len(own)]) for name, (own, _) in ACTIVATIONS.items()]
    ops: list[Operator] = [Map((0,), "tanh")]
    for place, function in enumerate(functions):
        weights, bits, clip = FORMATS[place % len(FORMATS)], (16, 8)[place % 2], 0.75 * (place % 3 == 0)
        lstm = CellOptions((function, functions[place - 1], functions[place - 2]), clip, coupled=place % 2 == 1)
        gru = CellOptions((functions[place % 2], function), clip, reset_first=place % 4 < 2)
        sizes = (FEATURES, UNITS, 10) if place % 2 else (FEATURES, UNITS)
        ops.append(lstm_with_options(rng, 1, sizes, Reading.FRAME, bits, weights=weights, options=lstm))
        for kind, form in ((GRU, gru), (RNN, CellOptions((function,), clip))):
            own = (FEATURES, UNITS)
            ops.append(cell_with_options(rng, 1, own, Reading.FRAME, bits, kind=kind, weights=weights, options=form))
    ops = [_tamed(op) if isinstance(op, Cell) else op for op in ops]
    blocks = Blocks(5, 3)
    ops += [Backward((1,), op, blocks) for op in ops[1:4] if isinstance(op, Cell)]
    return replace(every_output(FEATURES, [_renamed(op, place) for place, op in enumerate(ops)]), blocks=blocks)


def frames() -> Program:
    """Return a program of every operator inside frames `[3, 2, 5]`, each also with taps outside of the frame."""
    rng = np.random.default_rng(8)
    width = 30
    bias = rng.normal(0, 1, UNITS).astype(np.float32)
    places = [
        Geometry((2, 5), (1, 1), answers=(2, 5)),
        Geometry((2, 5), (2, 3), (1, 2), (1, 1), (1, 1), (2, 3)),
        Geometry((1, 10), (1, 3), (1, 2), (1, 2), (0, 2), (1, 5)),
    ]
    ops: list[Operator] = []
    for weights in FORMATS:
        for where in places:
            taps = where.places.shape[1]
            w = matrix(rng, UNITS, 3 * taps, Reading.FRAME, 16, weights=weights)
            ops.append(Convolution((0,), w, bias, where, answers_first=where is places[1]))
            w = matrix(rng, 6, taps, Reading.FRAME, 16, weights=weights)
            ops.append(Depthwise((0,), w, bias[:6], where))
    scale = rng.uniform(0.1, 3, width).astype(np.float32)
    ops.append(Map((0,), "tanh"))
    bounded = len(ops)
    ops += [Reduce((bounded,), name, 5) for name in REDUCTIONS]
    ops += [Softmax((bounded,), name, 10) for name in SOFTMAXES]
    ops += [
        LayerNorm((bounded,), scale, scale, float(np.float32(1e-5)), 15),
        Take((0,), np.array([25, -1, 0, 7]), 5),
        Take((0,), rng.permutation(width)),
        Window((0,), 3, 2, width, Slot("tail", 0), together=5),
    ]
    return every_output(width, ops)


def integer_options() -> Program:
    """Return a program of cells without floats that have options; each option is there and left out."""
    rng = np.random.default_rng(9)
    lstms = [integer_lstm_with_options(rng, 0, (WIDTH, UNITS)) for _ in range(8)]
    grus = [integer_gru_with_options(rng, 0, (WIDTH, UNITS)) for _ in range(4)]
    forms = [(own.clip > 0, own.coupled, own.peepholes is not None) for own in (layer.options for layer in lstms)]
    assert [len(set(values)) for values in zip(*forms, strict=True)] == [2, 2, 2]
    return every_output(WIDTH, [_renamed(op, place) for place, op in enumerate((*lstms, *grus))])


def folded() -> Program:
    """Return a program of every cell over the rows and the steps of a frame, carried and from zeros."""
    rng = np.random.default_rng(10)
    features, blocks = 5, ((1, 19), (18, 1), (2, 3))
    cells = [
        *(cell(rng, 0, (features, UNITS), Reading.FRAME, 16, kind=kind) for kind in KINDS),
        cell(rng, 0, (features, UNITS), Reading.FRAME, 8, kind="gru", weights=(4, 8)),
        cell(rng, 0, (features, UNITS), Reading.FRAME, 16, kind="lstm", weights=(FLOAT, 0)),
        lstm_projected(rng, 0, (features, UNITS, 10), Reading.FRAME, 16),
        lstm_with_options(rng, 0, (features, UNITS), Reading.FRAME, 16),
        cell_with_options(rng, 0, (features, UNITS), Reading.FRAME, 16, kind=GRU),
    ]
    ops: list[Operator] = [Map((0,), "tanh")]
    for steps, rows in blocks:
        order = rng.integers(0, WIDTH, steps * rows * features)
        ops.append(Take((1,), order))
        frame = len(ops)
        for layer in cells:
            own = _renamed(_tamed(replace(layer, inputs=(frame,))), len(ops))
            assert isinstance(own, Cell)
            ops.append(Folded((frame,), own, steps, rows, carried=len(ops) % 3 > 0))
    program = every_output(WIDTH, ops)
    return replace(program, starts=random_starts(rng, program.ops))


def spectra() -> Program:
    """Return a program of spectra with each radix alone, first and after others."""
    rng = np.random.default_rng(11)
    lengths = (40, 2, 6, 8, 10, 48, 90, 400)
    ops: list[Operator] = []
    for length in lengths:
        width = min(WIDTH, length)
        value = 0 if width == WIDTH else len(ops) + 1
        ops += [Slice((0,), 0, width)] if value else []
        window = rng.uniform(0.1, 2, width).astype(np.float32)
        ops.append(Fourier((value,), window, roots_of_unity(length).astype(np.float32), (length - width) // 2))
    return every_output(WIDTH, ops)


def one_value() -> Program:
    """Return a program of every function of two values, of which the first or the second has width 1."""
    above_zero = Elementwise((1,), "add", np.full(FEATURES, 0.5, np.float32))
    ops: list[Operator] = [Map((0,), "sigmoid"), above_zero, Slice((2,), 2, 1)]
    ops += [Binary(pair, name) for name in BINARIES for pair in ((2, 3), (3, 2))]
    return every_output(FEATURES, ops)


def far_ahead() -> Program:
    """Return a program of a window that looks so far ahead that the end of a stream takes several blocks."""
    return every_output(WIDTH, [Window((0,), 3, 16, WIDTH, Slot("tail", 0), 20)])


def programs() -> dict[str, Program]:
    """Return the programs by name."""
    formats = {precision(weights, bits): cells(weights, bits) for weights in FORMATS for bits in (16, 8)}
    others = {"tables": tables(), "functions": functions(), "states": states()}
    return {
        **formats,
        **others,
        "blocks": lookahead(Blocks(5, 3)),
        "whole": lookahead(Blocks(None, 0, 100)),
        "integers": integers(),
        "starts": starts(),
        "options": options(),
        "frames": frames(),
        "integer_options": integer_options(),
        "cells_of_frames": cells_of_frames(),
        "folded": folded(),
        "spectra": spectra(),
        "one_value": one_value(),
        "far_ahead": far_ahead(),
    }


def missing() -> set[str]:
    """Return the names of the operators that are in no program."""
    held = {type(op) for program in programs().values() for op in program.ops}
    return {operator.__name__ for operator in set(OPERATORS) - held}

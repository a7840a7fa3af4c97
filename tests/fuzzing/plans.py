"""Nine small plans that have every operator and every width of weights.

Tests damage them bit by bit, and the fuzzer starts from them.
"""

from dataclasses import replace

import numpy as np
from tidegate.runtime.cells import GRU, RNN, Activation, CellOptions
from tidegate.runtime.contract import Blocks, Contract, Port
from tidegate.runtime.operators import (
    OPERATORS,
    Align,
    Backward,
    Binary,
    BlockStart,
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
from tidegate.runtime.operators.matrix import FLOAT, Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.random_layers import (
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
)

FRAME = Reading.FRAME


def _ones(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.ones(count, np.float32)


def _program(width: int, ops: list[Operator], *, ids: bool = False) -> Program:
    return Program(width, tuple(ops), (("last", len(ops)), ("first", 1)), ids)


def cells() -> Program:
    """Return a program of each cell, each with another weight format."""
    rng = np.random.default_rng(0)
    return _program(
        3,
        [
            cell(rng, 0, (3, 2), FRAME, 16, kind="lstm"),
            cell(rng, 0, (3, 2), FRAME, 8, kind="gru", weights=(4, 8)),
            cell(rng, 0, (3, 2), FRAME, 16, kind="tanh", weights=(16, 0)),
            cell(rng, 0, (3, 2), FRAME, 16, kind="relu", weights=(FLOAT, 0)),
            lstm_projected(rng, 0, (3, 2, 2), FRAME, 16, weights=(4, 0)),
            Concat((1, 5)),
            Linear((6,), matrix(rng, 2, 4, FRAME, 16, weights=(16, 8)), _ones(2)),
        ],
    )


def cells_with_options() -> Program:
    """Return a program of each cell with options, each with another weight format; the last one runs backward."""
    rng = np.random.default_rng(5)
    relu, hard, elu = Activation("Relu"), Activation("HardSigmoid", 0.25, 0.5), Activation("Elu", 0.5)
    lstm = CellOptions((hard, relu, elu), clip=2.0, coupled=True)
    blocks = Blocks(2, 1)
    peeping = lstm_with_options(rng, 0, (3, 2, 2), FRAME, 16, options=lstm)
    back = cell_with_options(rng, 0, (3, 2), FRAME, 16, kind=RNN, weights=(8, 8), options=CellOptions((elu,)))
    ops: list[Operator] = [
        replace(peeping, peepholes=_ones(6)),
        cell_with_options(
            rng, 0, (3, 2), FRAME, 8, kind=GRU, weights=(4, 8), options=CellOptions((hard, relu), reset_first=True)
        ),
        cell_with_options(rng, 0, (3, 2), FRAME, 16, kind=RNN, weights=(FLOAT, 0), options=CellOptions((relu,))),
        Backward((0,), back, blocks),
    ]
    return replace(_program(3, ops), blocks=blocks)


def folded() -> Program:
    """Return a program of a cell over the rows of a frame, and of one over its steps."""
    rng = np.random.default_rng(6)
    rows, steps = (cell(rng, 0, (3, 2), FRAME, 16, kind=kind) for kind in ("lstm", "gru"))
    options = lstm_with_options(rng, 0, (3, 2, 2), FRAME, 16)
    ops: list[Operator] = [
        Folded((0,), rows, 1, 2, carried=True),
        Folded((0,), steps, 2, 1, carried=False),
        Folded((0,), options, 1, 2, carried=True),
    ]
    starts = {rows.h: _ones(4)}
    return replace(_program(6, ops), starts=starts)


def functions() -> Program:
    """Return a program of each kind of float operator without matrices, after a window and a linear layer."""
    rng = np.random.default_rng(1)
    return _program(
        3,
        [
            Window((0,), 2, 1, 3, Slot("tail", 0)),
            Linear((1,), matrix(rng, 4, 6, FRAME, 16), _ones(4)),
            Map((2,), "leaky_relu", (0.5,)),
            Elementwise((3,), "div", _ones(4)),
            LayerNorm((4,), _ones(4), _ones(4), 2.0**-16),
            Slice((5,), 1, 2, 2),
            Reduce((6,), "l2"),
            Binary((5, 7), "mul"),
            Constant((8,), _ones(4)),
            Static((8,), Slot("s.static", 0), 4),
            Binary((9, 10), "add"),
            Binary((8, 11), "add"),
            Last((12,)),
            Softmax((13,), "softmax"),
        ],
    )


def lookups() -> Program:
    """Return a program of tables of ids, an LSTM, the last frame."""
    rng = np.random.default_rng(2)
    return _program(
        1,
        [
            Embedding((0,), matrix(rng, 5, 3, FRAME, 16)),
            Embedding((0,), matrix(rng, 5, 9, FRAME, 16, weights=(4, 8))),
            Embedding((0,), rng.normal(0, 1, (5, 3)).astype(np.float32)),
            Binary((1, 3), "add"),
            cell(rng, 4, (3, 2), FRAME, 16, kind="lstm", weights=(8, 8)),
            Last((5,)),
            LastCell((5,), 2),
        ],
        ids=True,
    )


def late() -> Program:
    """Return a program of both directions of a layer in blocks, joined, a window that looks ahead, initial states."""
    rng = np.random.default_rng(3)
    blocks = Blocks(4, 2)
    forward = cell(rng, 0, (3, 2), FRAME, 16, kind="lstm")
    ops: tuple[Operator, ...] = (
        forward,
        Backward((0,), cell(rng, 0, (3, 2), FRAME, 16, kind="gru"), blocks),
        Align((2, 1)),
        Concat((3, 2)),
        BlockStart((2,), blocks),
        Window((0,), 3, 1, 3, Slot("tail", 0), 1),
        Window((0,), 4, 1, 3, Slot("ahead.tail", 0), 3),
    )
    starts = {forward.h: _ones(2), Slot("tail", 0): _ones(6)}
    return Program(3, ops, (("last", 4), ("first", 5), ("window", 6), ("ahead", 7)), blocks=blocks, starts=starts)


def integers() -> Program:
    """Return a program of the operators that compute without floats."""
    rng = np.random.default_rng(4)
    lstm = integer_lstm_with_options(rng, 1, (3, 2))
    return _program(
        3,
        [
            integer_affine(rng, 0, 3),
            integer_lstm(rng, 1, (3, 2)),
            integer_gru(rng, 2, (2, 2)),
            integer_linear(rng, 3, (2, 2)),
            IntegerMap((4,), "sigmoid"),
            replace(lstm, options=replace(lstm.options, clip=1 << 16, peepholes=np.arange(6), exponent=12)),
            integer_gru_with_options(rng, 2, (2, 2)),
        ],
    )


def frames() -> Program:
    """Return a program of the operators inside a frame of several axes, here `[2, 1, 3]`."""
    rng = np.random.default_rng(5)
    where = Geometry((1, 3), (1, 2), (1, 1), (1, 2), (0, 1), (1, 3))
    return _program(
        3,
        [
            Take((0,), np.array([0, 1, -1]), 2),
            Convolution((1,), matrix(rng, 2, 4, FRAME, 16), _ones(2), where),
            Depthwise((2,), matrix(rng, 4, 2, FRAME, 16, weights=(8, 0)), _ones(4), where),
            Convolution((3,), matrix(rng, 1, 8, FRAME, 16, weights=(FLOAT, 0)), _ones(1), where, answers_first=True),
            Window((2,), 2, 1, 6, Slot("tail", 0), together=3),
            Reduce((5,), "max", 3),
            Softmax((6,), "softmax", 2),
            LayerNorm((7,), _ones(4), _ones(4), 2.0**-16, 2),
            Fourier((0,), _ones(3), roots_of_unity(4).astype(np.float32), 1),
        ],
    )


def wide() -> Program:
    """Return a program of a cell with more units than inputs, of taps side by side, a constant range, widths of 1."""
    rng = np.random.default_rng(7)
    some, every = (Geometry((1, 3), (1, taps), (1, 1), (1, 1), (0, 0), (1, 4 - taps)) for taps in (2, 3))
    known = replace(matrix(rng, 2, 3, FRAME, 16), reading=Reading.CONSTANT, range=np.float32(2))
    return _program(
        3,
        [
            cell(rng, 0, (3, 33), FRAME, 16, kind="tanh"),
            Convolution((0,), matrix(rng, 2, 2, FRAME, 16), _ones(2), some),
            Convolution((0,), matrix(rng, 2, 3, FRAME, 16), _ones(2), every),
            Linear((0,), known, _ones(2)),
            Slice((0,), 1, 1, 1),
            Binary((0, 5), "sub"),
            Binary((5, 0), "sub"),
        ],
    )


def _programs() -> dict[str, Program]:
    return {
        "cells": cells(),
        "functions": functions(),
        "lookups": lookups(),
        "late": late(),
        "integers": integers(),
        "options": cells_with_options(),
        "frames": frames(),
        "folded": folded(),
        "wide": wide(),
    }


def reference_plans() -> dict[str, bytes]:
    """Return the plans by name; their text is short, because the engine does not read it."""
    contract = Contract((Port("x", 0, None),), (Port("last", None, None),), ())
    return {name: compile_program(program, contract) for name, program in _programs().items()}


def missing() -> set[str]:
    """Return the names of the operators that are in no plan."""
    held = {type(op) for program in _programs().values() for op in program.ops}
    return {operator.__name__ for operator in set(OPERATORS) - held}

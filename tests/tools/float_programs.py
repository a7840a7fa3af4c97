"""Small float programs and streams for tests of calibration: a layer of each cell, then a linear head."""

from dataclasses import replace
from typing import Any

import numpy as np
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.observation import Segment, observe
from tidegate.runtime.cells import GRU, LSTM, RNN, Activation, CellKind, CellOptions
from tidegate.runtime.operators import Linear, Operator
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading
from tidegate.runtime.program import Program
from tools.random_layers import cell, cell_with_options, lstm_projected, lstm_with_options, matrix
from tools.streams import contract_of

SIGMOID, TANH, RELU, SOFTSIGN = (Activation(name) for name in ("Sigmoid", "Tanh", "Relu", "Softsign"))
ELU, HARD = Activation("Elu", 0.5), Activation("HardSigmoid", 0.25, 0.5)
OPTIONS: dict[str, tuple[CellKind, CellOptions]] = {
    "peepholes": (LSTM, LSTM.plain),
    "coupled": (LSTM, CellOptions((SIGMOID, ELU, SOFTSIGN), clip=3.0, coupled=True)),
    "reset first": (GRU, CellOptions((SIGMOID, TANH), reset_first=True)),
    "reset first, relu": (GRU, CellOptions((HARD, RELU), reset_first=True)),
    "softsign": (GRU, CellOptions((SIGMOID, SOFTSIGN), clip=2.0)),
    "elu": (RNN, CellOptions((ELU,))),
}
KINDS = ["lstm", "gru", "tanh", "relu", "projected", "projected with options", "gives c", *OPTIONS]
FEATURES, HIDDEN, PROJECTED = 3, 5, 4
FLOAT_WEIGHTS = (FLOAT, 0)


def layer(kind: str) -> Operator:
    """Return a layer of a kind; its matrices are named after their fields."""
    rng = np.random.default_rng(5)
    if kind == "projected":
        sizes = (FEATURES, HIDDEN, PROJECTED)
        return _named(lstm_projected(rng, 0, sizes, Reading.FRAME, 16, weights=FLOAT_WEIGHTS))
    if kind == "projected with options":
        sizes, options = (FEATURES, HIDDEN, PROJECTED), CellOptions((SIGMOID, TANH, SOFTSIGN), coupled=True)
        return _named(lstm_with_options(rng, 0, sizes, Reading.FRAME, 16, weights=FLOAT_WEIGHTS, options=options))
    if kind == "gives c":
        own = (FEATURES, HIDDEN)
        return _named(lstm_with_options(rng, 0, own, Reading.FRAME, 16, weights=FLOAT_WEIGHTS, gives_c=True))
    if kind in OPTIONS:
        of, form = OPTIONS[kind]
        own = (FEATURES, HIDDEN)
        made = cell_with_options(rng, 0, own, Reading.FRAME, 16, kind=of, weights=FLOAT_WEIGHTS, options=form)
        return _named(_with_peepholes(made, rng) if of is LSTM else made)
    return _named(cell(rng, 0, (FEATURES, HIDDEN), Reading.FRAME, 16, kind=kind, weights=FLOAT_WEIGHTS))


def _with_peepholes(made: Operator, rng: np.random.Generator) -> Operator:
    values: dict[str, Any] = {"peepholes": rng.normal(0, 0.5, 3 * HIDDEN).astype(np.float32)}
    return replace(made, **values)


def layer_and_head(kind: str) -> Program:
    """Return a layer of a kind and a linear layer of two channels, whose matrix is named `head`."""
    first = layer(kind)
    head = matrix(np.random.default_rng(6), 2, first.width([FEATURES]), Reading.FRAME, 16, weights=FLOAT_WEIGHTS)
    second = Linear((1,), replace(head, name="head"), np.zeros(2, np.float32))
    return Program(FEATURES, (first, second), (("y", 2),))


def streams(*lengths: int) -> Streams:
    """Return noise of which every seventh frame is held out."""
    rng = np.random.default_rng(7)
    frames = tuple(rng.standard_normal((length, FEATURES), np.float32) for length in lengths)
    return Streams(frames, tuple(np.arange(length) % 7 == 3 for length in lengths), complete=True)


def observed(program: Program, found: Streams) -> list[Segment]:
    """Return all values of a program on streams."""
    return observe(program, contract_of(program), found, lambda _: None)


def _named(op: Operator) -> Operator:
    fields = {field: getattr(op, field, None) for field in ("w", "r", "p")}
    named: dict[str, Any] = {f: replace(m, name=f) for f, m in fields.items() if isinstance(m, Matrix)}
    return replace(op, **named)

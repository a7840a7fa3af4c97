"""Random programs of the engine's operators, for property tests."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
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
    Gru,
    GruWithOptions,
    IntegerAffine,
    IntegerGru,
    IntegerGruWithOptions,
    IntegerLinear,
    IntegerLstm,
    IntegerLstmWithOptions,
    IntegerMap,
    Last,
    LastCell,
    LayerNorm,
    Linear,
    Lstm,
    LstmProjected,
    LstmWithOptions,
    Map,
    Operator,
    Reduce,
    Rnn,
    RnnWithOptions,
    Slice,
    Slot,
    Softmax,
    Static,
    Take,
    Window,
)
from tidegate.runtime.operators.cells_with_options import FLOAT_CELLS
from tidegate.runtime.operators.integer import INTEGER_MAPS
from tidegate.runtime.operators.matrix import FLOAT
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS, NUMBERS
from tidegate.runtime.program import Program, Reading
from tools import random_frames
from tools.program_builder import WIDTHS, Builder
from tools.random_layers import (
    gru,
    gru_with_options,
    integer_affine,
    integer_gru,
    integer_gru_with_options,
    integer_linear,
    integer_lstm,
    integer_lstm_with_options,
    lstm,
    lstm_projected,
    lstm_with_options,
    matrix,
    random_starts,
    rnn,
    rnn_with_options,
)


def add_layer(build: Builder, make: Callable[..., Cell], sizes: int = 1, **options: object) -> None:
    """Add a recurrent layer of any size; `sizes` counts the sizes besides that of its input."""
    value, place = build.pick(), len(build.ops)
    drawn = (build.widths[value], *(build.draw(WIDTHS) for _ in range(sizes)))
    layer = make(build.rng, value, drawn, build.reading(value), build.most_bits, weights=build.weights, **options)
    build.emit(replace(layer, **slots_of(layer, place)))


def slots_of(layer: Cell, place: int) -> dict[str, Any]:
    """Return the states of a layer by field, named after its place."""
    return {name: Slot(f"l{place}.{name}", 0) for name, _ in zip("hc", layer.slots, strict=False)}


def add_lstm_projected(build: Builder) -> None:
    """Add a layer of any size; its h may be shorter or longer than its c."""
    add_layer(build, lstm_projected, 2)


def add_rnn(build: Builder) -> None:
    """Add a layer of any size, with tanh or relu."""
    add_layer(build, rnn, function=build.draw(st.sampled_from(Rnn.FUNCTIONS)))


def add_lstm_with_options(build: Builder) -> None:
    """Add a layer of any size and options, sometimes with a projection or with c in its answer."""
    add_layer(build, lstm_with_options, build.draw(st.sampled_from([1, 2])), gives_c=build.draw(st.booleans()))


def add_linear(build: Builder) -> None:
    """Add a layer of any size."""
    value, size = build.pick(), build.draw(WIDTHS)
    bias = build.rng.normal(0, 1, size).astype(np.float32)
    weights = matrix(build.rng, size, build.widths[value], build.reading(value), build.most_bits, weights=build.weights)
    build.emit(Linear((value,), weights, bias))


def add_elementwise(build: Builder) -> None:
    """Add any function with a constant; all constants are positive."""
    value, function = build.pick(), build.one_of(CONSTANTS)
    build.emit(Elementwise((value,), function, build.constants(build.widths[value])))


def positive(build: Builder, value: int) -> int:
    """Add operators that make a value positive, so that it has a root, a logarithm and a reciprocal."""
    value = build.emit(Map((value,), "abs"))
    return build.emit(Elementwise((value,), "add", build.constants(build.widths[value])))


def add_map(build: Builder) -> None:
    """Add any function, in most cases of a value for which it is defined."""
    value, function = build.pick(), build.one_of(MAPS)
    if function in ("log", "sqrt", "reciprocal", "power") and build.rng.random() < 0.9:
        value = positive(build, value)
    if function in ("exp", "square"):
        value = build.emit(Map((value,), "tanh"))
    numbers = tuple(float(n) for n in build.constants(NUMBERS.get(function, 0)))
    build.emit(Map((value,), function, numbers))


def add_binary(build: Builder) -> None:
    """Add any function of two values whose widths fit, in any order."""
    first, function = build.pick(), build.one_of(BINARIES)
    sizes = (1, build.widths[first])
    fits = [v for v, w in enumerate(build.widths) if v >= build.least and (w in sizes or build.widths[first] == 1)]
    pair = [first, build.draw(st.sampled_from(fits))]
    if build.draw(st.booleans()):
        pair.reverse()
    if function == "div":
        pair[1] = positive(build, pair[1])
    build.emit(Binary(build.together(*pair), function))


def add_reduce(build: Builder) -> None:
    """Add any reduction."""
    value = build.pick()
    build.emit(Reduce((value,), build.one_of(REDUCTIONS), build.part(value)))


def add_softmax(build: Builder) -> None:
    """Add a softmax or a log softmax."""
    value = build.pick()
    build.emit(Softmax((value,), build.one_of(SOFTMAXES), build.part(value)))


def add_layer_norm(build: Builder) -> None:
    """Add a layer norm; its constants have either sign."""
    value = build.pick()
    width = build.widths[value]
    bias = build.rng.normal(0, 1, width).astype(np.float32)
    build.emit(LayerNorm((value,), build.constants(width), bias, float(np.float32(1e-5)), build.part(value)))


def add_slice(build: Builder) -> None:
    """Add a slice of any features of a value."""
    value = build.pick()
    start = build.draw(st.integers(0, build.widths[value] - 1))
    stride = build.draw(st.integers(1, 3))
    most = (build.widths[value] - 1 - start) // stride + 1
    build.emit(Slice((value,), start, build.draw(st.integers(1, most)), stride))


def add_concat(build: Builder) -> None:
    """Join any two values, or one value twice."""
    build.emit(Concat(build.together(build.pick(), build.pick())))


def add_embedding(build: Builder) -> None:
    """Add a table of floats or of codes, which reads a feature of the input."""
    rows, width = build.draw(st.integers(1, 50)), build.draw(WIDTHS)
    floats = build.rng.normal(0, 1, (rows, width)).astype(np.float32)
    codes = matrix(build.rng, rows, width, Reading.FRAME, 16, weights=build.weights)
    feature = build.draw(st.integers(0, build.widths[0] - 1))
    build.emit(Embedding((0,), floats if codes.weight_bits == FLOAT or build.draw(st.booleans()) else codes, feature))


def add_window(build: Builder) -> None:
    """Add a window of two taps or more; it may look ahead, and it may be longer than the engine's batch of frames."""
    value = build.pick()
    channels = min(build.widths[value], 20)
    value = build.emit(Slice((value,), 0, channels))
    kernel, dilation = build.draw(st.integers(2, 5)), build.draw(st.integers(1, 9))
    lookahead = build.draw(st.one_of(st.just(0), st.integers(1, (kernel - 1) * dilation)))
    tail = HIDDEN if lookahead else Slot(f"l{len(build.ops)}.tail", 0)
    together = build.draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    build.emit(Window((value,), kernel, dilation, channels, tail, lookahead, together))


def add_take(build: Builder) -> None:
    """Add any features of a value, in any order, or zeros."""
    value = build.pick()
    build.emit(random_frames.take(build.rng, value, build.widths[value]))


def add_convolution(build: Builder) -> None:
    """Add a convolution inside the frames of a value."""
    value = build.pick()
    reading, width = build.reading(value), build.widths[value]
    build.emit(random_frames.convolution(build.rng, value, width, reading, build.most_bits, build.weights))


def add_depthwise(build: Builder) -> None:
    """Add a convolution of each channel by itself."""
    value = build.pick()
    build.emit(random_frames.depthwise(build.rng, value, build.widths[value], build.weights))


def add_fourier(build: Builder) -> None:
    """Add the spectrum of a value."""
    value = build.pick()
    build.emit(random_frames.fourier(build.rng, value, build.widths[value]))


def taken_cell(build: Builder) -> Cell:
    """Add any cell, take it out again, and return it."""
    ADD[build.draw(st.sampled_from(FLOAT_CELLS))](build)
    layer = build.ops.pop()
    del build.widths[-1], build.clocks[-1]
    assert isinstance(layer, Cell)
    return layer


def add_backward(build: Builder) -> None:
    """Add the backward direction of any cell."""
    layer = taken_cell(build)
    build.emit(Backward(layer.inputs, layer, build.blocks))


def add_folded(build: Builder) -> None:
    """Add any cell over several rows or steps of a frame, which are made of any features of a value."""
    layer = taken_cell(build)
    value, features = layer.inputs[0], layer.w.codes.shape[1]
    most = 600 // max(features, layer.width(build.widths))
    sizes = [(1, 3), (4, 1), (1, 18), (19, 1), (2, 17), (1, 1)]
    steps, rows = build.draw(st.sampled_from([pair for pair in sizes if prod(pair) <= most] or [(1, 1)]))
    order = build.rng.integers(0, build.widths[value], steps * rows * features)
    w = replace(layer.w, reading=Reading.FRAME) if layer.w.reading is Reading.HIDDEN else layer.w
    inputs = (build.emit(Take((value,), order)),)
    changes: dict[str, Any] = {"inputs": inputs, "w": w}
    build.emit(Folded(inputs, replace(layer, **changes), steps, rows, build.draw(st.booleans())))


def add_align(build: Builder) -> None:
    """Delay any value until the frames of a later value are there."""
    add_backward(build)
    late = len(build.ops)
    leading = [v for v, clock in enumerate(build.clocks) if v >= build.least and clock.leads(build.clocks[late])]
    build.emit(Align((late, build.draw(st.sampled_from(leading)))))


def add_block_start(build: Builder) -> None:
    """Add the final h of a backward direction."""
    add_backward(build)
    build.emit(BlockStart((len(build.ops),), build.blocks))


def add_integer_cell(build: Builder, make: Callable[..., Cell]) -> None:
    """Add a layer of any size."""
    value, place = build.pick(), len(build.ops)
    layer = make(build.rng, value, (build.widths[value], build.draw(WIDTHS)))
    build.emit(replace(layer, **slots_of(layer, place)))


def add_integer_linear(build: Builder) -> None:
    """Add a layer of any size."""
    value = build.pick()
    build.emit(integer_linear(build.rng, value, (build.widths[value], build.draw(WIDTHS))))


def add_integer_affine(build: Builder) -> None:
    """Add factors and constants of either sign."""
    value = build.pick()
    build.emit(integer_affine(build.rng, value, build.widths[value]))


def add_integer_map(build: Builder) -> None:
    """Add any function of integers."""
    build.emit(IntegerMap((build.pick(),), build.one_of(INTEGER_MAPS)))


def add_constant(build: Builder) -> None:
    """Add a constant of any width."""
    build.emit(Constant((build.pick(),), build.rng.normal(0, 1, build.draw(WIDTHS)).astype(np.float32)))


def add_static(build: Builder) -> None:
    """Add a static input of any width."""
    build.emit(Static((build.pick(),), Slot(f"s{len(build.ops)}.static", 0), build.draw(WIDTHS)))


ADD: dict[type[Operator], Callable[[Builder], None]] = {
    Lstm: partial(add_layer, make=lstm),
    Gru: partial(add_layer, make=gru),
    Rnn: add_rnn,
    Linear: add_linear,
    Elementwise: add_elementwise,
    Map: add_map,
    Binary: add_binary,
    Reduce: add_reduce,
    Softmax: add_softmax,
    LayerNorm: add_layer_norm,
    Slice: add_slice,
    Concat: add_concat,
    Embedding: add_embedding,
    Window: add_window,
    LstmProjected: add_lstm_projected,
    Backward: add_backward,
    Align: add_align,
    BlockStart: add_block_start,
    IntegerLstm: partial(add_integer_cell, make=integer_lstm),
    IntegerGru: partial(add_integer_cell, make=integer_gru),
    IntegerLinear: add_integer_linear,
    IntegerAffine: add_integer_affine,
    IntegerMap: add_integer_map,
    LstmWithOptions: add_lstm_with_options,
    GruWithOptions: partial(add_layer, make=gru_with_options),
    RnnWithOptions: partial(add_layer, make=rnn_with_options),
    Take: add_take,
    Convolution: add_convolution,
    Depthwise: add_depthwise,
    Constant: add_constant,
    Static: add_static,
    IntegerLstmWithOptions: partial(add_integer_cell, make=integer_lstm_with_options),
    IntegerGruWithOptions: partial(add_integer_cell, make=integer_gru_with_options),
    Folded: add_folded,
    Fourier: add_fourier,
}
AT_AN_END = {Last, LastCell, Embedding}  # at the end of a program; at the start of one that reads ids, or at times
WITH_CELL = Lstm | LstmProjected | IntegerLstm
MOST_DRAWN: list[type[Operator]] = [Lstm, *(operator for operator in OPERATORS if operator not in AT_AN_END)]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a program of any of the engine's operators."""
    ids = draw(st.sampled_from([False, False, False, True]))
    build = Builder(draw, 1 if ids else draw(WIDTHS), ids=ids)
    for _ in range(draw(st.integers(1, 2) if ids else st.sampled_from([0, 0, 0, 1]))):
        add_embedding(build)
    for operator in draw(st.lists(st.sampled_from(MOST_DRAWN), min_size=1, max_size=6)):
        ADD[operator](build)
    outputs = [("y", len(build.ops))]
    if draw(st.booleans()):
        outputs.append(("middle", draw(st.integers(1, len(build.ops)))))
    if draw(st.booleans()):
        outputs[0] = ("y", build.emit(Last((len(build.ops),))))
    layers = [
        LastCell((v,), op.w.codes.shape[0] // 4) for v, op in enumerate(build.ops, 1) if isinstance(op, WITH_CELL)
    ]
    if layers and draw(st.sampled_from([False, True])):
        outputs.append(("cell", build.emit(layers[-1])))
    blocks = build.blocks if any(isinstance(op, Backward) for op in build.ops) else None
    starts = random_starts(build.rng, build.ops) if draw(st.booleans()) else {}
    return Program(build.widths[0], tuple(build.ops), tuple(outputs), ids, blocks, starts=starts)

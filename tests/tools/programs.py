"""Random programs and streams for property tests, and small streaming ONNX files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeStream
from tidegate.runtime.clocks import Clock
from tidegate.runtime.contract import METADATA_KEY, Blocks, Contract, Port, State
from tidegate.runtime.operators import (
    HIDDEN,
    OPERATORS,
    Align,
    Backward,
    Binary,
    BlockStart,
    Cell,
    Concat,
    Elementwise,
    Embedding,
    Gru,
    IntegerAffine,
    IntegerGru,
    IntegerLinear,
    IntegerLstm,
    IntegerMap,
    Last,
    LayerNorm,
    Linear,
    Lstm,
    LstmProjected,
    Map,
    Operator,
    Reduce,
    Rnn,
    Slice,
    Slot,
    Softmax,
    Window,
    is_hidden,
)
from tidegate.runtime.operators.integer import INTEGER_MAPS
from tidegate.runtime.operators.matrix import FLOAT, GROUP_SIZES, LARGEST_CODE
from tidegate.runtime.operators.numbers import fixed
from tidegate.runtime.operators.numbers.fixed import GATE, MOST_SUM, fixed_bits
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS, NUMBERS
from tidegate.runtime.program import Matrix, Program, Reading, activation_bits
from tidegate.runtime.reference import ReferenceStream

FORMATS = [(bits, group) for bits in LARGEST_CODE for group in (0, *GROUP_SIZES)] + [(FLOAT, 0)]
WIDTHS = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 63, 64, 65, 100]))


def matrix(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> Matrix:
    """Return random weights, some rows at the extremes of codes and scales.

    Args:
        rng: What draws them.
        rows: Rows.
        columns: Columns.
        reading: How the matrix reads.
        most_bits: Most bits of activations.
        weights: Weight bits and group size; None: any.
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
    """Return an operator some of whose matrices read by a constant, of which some saturate."""
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
    """Return a random LSTM layer of sizes (inputs, hidden), some with bias."""
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
    """Return a random GRU layer of sizes (inputs, hidden), some with bias."""
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
    """Return a random RNN layer of sizes (inputs, hidden), some with bias; with relu it may grow or decay."""
    inputs, hidden = sizes
    bias = rng.normal(0, 1, hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, hidden, inputs, reading, most_bits, weights=weights)
    own = Reading.FRAME if function == "relu" else Reading.HIDDEN
    r = matrix(rng, hidden, hidden, own, most_bits, weights=weights)
    if function == "relu":  # h grows at most fourfold a step, so that most streams stay within bounds
        r = weaker(r, np.float32(2.0 ** rng.uniform(-6, 0) / hidden))
    return Rnn((value,), function, w, r, bias, Slot(f"l{value}.h", 0))


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
    """Return a random layer of a kind: lstm, gru, tanh or relu."""
    if kind in ("tanh", "relu"):
        return rnn(rng, value, sizes, reading, most_bits, function=kind, weights=weights)
    return (lstm if kind == "lstm" else gru)(rng, value, sizes, reading, most_bits, weights=weights)


def bounded(op: Operator) -> bool:
    """Return whether an operation makes an h within (-1, 1)."""
    return is_hidden(op.cell if isinstance(op, Backward) else op)


GRIDS = st.one_of(
    st.builds(Blocks, st.integers(1, 40), st.integers(0, 40)), st.builds(Blocks, st.none(), st.just(0), st.just(64))
)


class Builder:
    """A random program as it grows: each operator reads an earlier value, most often the newest."""

    def __init__(self, draw: st.DrawFn, width: int, *, ids: bool = False) -> None:
        self.least = int(ids)  # the first value that most operators may read
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.most_bits = draw(st.sampled_from([16, 8]))
        self.weights = draw(st.sampled_from([(8, 0), None]))  # int8 by rows, or any format for each matrix
        self.constants_too = draw(st.booleans())  # some matrices read by constants
        self.ops: list[Operator] = []
        self.widths = [width]
        self.clocks = [Clock()]
        self.blocks = draw(GRIDS)

    def emit(self, op: Operator) -> int:
        """Append an operation and return its value."""
        self.ops.append(by_constants(self.rng, op) if self.constants_too else op)
        self.widths.append(op.width(self.widths))
        self.clocks.append(op.clock(self.clocks))
        return len(self.ops)

    def together(self, first: int, second: int) -> tuple[int, int]:
        """Return two values whose rows come together: one waits for the other, or else is left out."""
        clocks = self.clocks[first], self.clocks[second]
        if clocks[0] == clocks[1]:
            return first, second
        if clocks[0].leads(clocks[1]):
            return self.emit(Align((second, first))), second
        if clocks[1].leads(clocks[0]):
            return first, self.emit(Align((first, second)))
        return first, first

    def pick(self) -> int:
        """Draw a value to read."""
        newest = len(self.ops)
        return self.draw(st.one_of(st.just(newest), st.integers(self.least, newest)))

    def reading(self, value: int) -> Reading:
        """Return how a matrix reads a value."""
        return Reading.HIDDEN if value and bounded(self.ops[value - 1]) else Reading.FRAME

    def one_of(self, functions: Mapping[str, object]) -> str:
        """Draw a function by name."""
        return self.draw(st.sampled_from(list(functions)))

    def constants(self, width: int) -> Floats:
        """Return constants in [0.1, 3)."""
        return self.rng.uniform(0.1, 3, width).astype(np.float32)


def add_lstm(build: Builder) -> None:
    """A layer of any size."""
    value = build.pick()
    sizes = (build.widths[value], build.draw(WIDTHS))
    slots = len(build.ops)
    layer = lstm(build.rng, value, sizes, build.reading(value), build.most_bits, weights=build.weights)
    build.emit(replace(layer, h=Slot(f"l{slots}.h", 0), c=Slot(f"l{slots}.c", 0)))


def lstm_projected(
    rng: np.random.Generator,
    value: int,
    sizes: tuple[int, int, int],
    reading: Reading,
    most_bits: int,
    *,
    weights: tuple[int, int] | None = (8, 0),
) -> LstmProjected:
    """Return a random LSTM layer of sizes (inputs, hidden, projected), some with bias."""
    inputs, hidden, projected = sizes
    bias = rng.normal(0, 1, 4 * hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, 4 * hidden, inputs, reading, most_bits, weights=weights)
    r = matrix(rng, 4 * hidden, projected, Reading.FRAME, most_bits, weights=weights)
    p = matrix(rng, projected, hidden, Reading.HIDDEN, most_bits, weights=weights)
    return LstmProjected((value,), w, r, p, bias, Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0))


def add_lstm_projected(build: Builder) -> None:
    """A layer of any size, its h shorter or longer than its c."""
    value, slots = build.pick(), len(build.ops)
    sizes = (build.widths[value], build.draw(WIDTHS), build.draw(WIDTHS))
    layer = lstm_projected(build.rng, value, sizes, build.reading(value), build.most_bits, weights=build.weights)
    build.emit(replace(layer, h=Slot(f"l{slots}.h", 0), c=Slot(f"l{slots}.c", 0)))


def add_gru(build: Builder) -> None:
    """A layer of any size."""
    value = build.pick()
    sizes = (build.widths[value], build.draw(WIDTHS))
    layer = gru(build.rng, value, sizes, build.reading(value), build.most_bits, weights=build.weights)
    build.emit(replace(layer, h=Slot(f"l{len(build.ops)}.h", 0)))


def add_rnn(build: Builder) -> None:
    """A layer of any size, tanh or relu."""
    value, function = build.pick(), build.draw(st.sampled_from(Rnn.FUNCTIONS))
    sizes = (build.widths[value], build.draw(WIDTHS))
    layer = rnn(
        build.rng, value, sizes, build.reading(value), build.most_bits, function=function, weights=build.weights
    )
    build.emit(replace(layer, h=Slot(f"l{len(build.ops)}.h", 0)))


def add_linear(build: Builder) -> None:
    """A layer of any size."""
    value, size = build.pick(), build.draw(WIDTHS)
    bias = build.rng.normal(0, 1, size).astype(np.float32)
    weights = matrix(build.rng, size, build.widths[value], build.reading(value), build.most_bits, weights=build.weights)
    build.emit(Linear((value,), weights, bias))


def add_elementwise(build: Builder) -> None:
    """Any function, its constants positive."""
    value, function = build.pick(), build.one_of(CONSTANTS)
    build.emit(Elementwise((value,), function, build.constants(build.widths[value])))


def positive(build: Builder, value: int) -> int:
    """Keep away from what has no root, logarithm or reciprocal."""
    value = build.emit(Map((value,), "abs"))
    return build.emit(Elementwise((value,), "add", build.constants(build.widths[value])))


def add_map(build: Builder) -> None:
    """Any function, mostly of values where it is defined."""
    value, function = build.pick(), build.one_of(MAPS)
    if function in ("log", "sqrt", "reciprocal") and build.rng.random() < 0.9:
        value = positive(build, value)
    if function in ("exp", "square"):
        value = build.emit(Map((value,), "tanh"))
    numbers = tuple(float(n) for n in build.constants(NUMBERS.get(function, 0)))
    build.emit(Map((value,), function, numbers))


def add_binary(build: Builder) -> None:
    """Any function of two values that fit, in any order."""
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
    """Any reduction."""
    build.emit(Reduce((build.pick(),), build.one_of(REDUCTIONS)))


def add_softmax(build: Builder) -> None:
    """Either form."""
    build.emit(Softmax((build.pick(),), build.one_of(SOFTMAXES)))


def add_layer_norm(build: Builder) -> None:
    """With constants of either sign."""
    value = build.pick()
    width = build.widths[value]
    bias = build.rng.normal(0, 1, width).astype(np.float32)
    build.emit(LayerNorm((value,), build.constants(width), bias, float(np.float32(1e-5))))


def add_slice(build: Builder) -> None:
    """Any features that are there."""
    value = build.pick()
    start = build.draw(st.integers(0, build.widths[value] - 1))
    stride = build.draw(st.integers(1, 3))
    most = (build.widths[value] - 1 - start) // stride + 1
    build.emit(Slice((value,), start, build.draw(st.integers(1, most)), stride))


def add_concat(build: Builder) -> None:
    """Any two values, or one twice."""
    build.emit(Concat(build.together(build.pick(), build.pick())))


def add_embedding(build: Builder) -> None:
    """A table of either type."""
    rows, width = build.draw(st.integers(1, 50)), build.draw(WIDTHS)
    floats = build.rng.normal(0, 1, (rows, width)).astype(np.float32)
    codes = matrix(build.rng, rows, width, Reading.FRAME, 16, weights=build.weights)
    build.emit(Embedding((0,), floats if codes.weight_bits == FLOAT or build.draw(st.booleans()) else codes))


def add_window(build: Builder) -> None:
    """Two taps or more of some channels, their tail within or beyond a block of the engine; some look ahead."""
    value = build.pick()
    channels = min(build.widths[value], 20)
    value = build.emit(Slice((value,), 0, channels))
    kernel, dilation = build.draw(st.integers(2, 5)), build.draw(st.integers(1, 9))
    lookahead = build.draw(st.one_of(st.just(0), st.integers(1, (kernel - 1) * dilation)))
    tail = HIDDEN if lookahead else Slot(f"l{len(build.ops)}.tail", 0)
    build.emit(Window((value,), kernel, dilation, channels, tail, lookahead))


def add_backward(build: Builder) -> None:
    """The backward direction of any cell."""
    add = build.draw(st.sampled_from([add_lstm, add_gru, add_rnn, add_lstm_projected]))
    add(build)
    layer = build.ops.pop()
    del build.widths[-1], build.clocks[-1]
    assert isinstance(layer, Cell)
    build.emit(Backward(layer.inputs, layer, build.blocks))


def add_align(build: Builder) -> None:
    """Any value beside one that comes later."""
    add_backward(build)
    late = len(build.ops)
    leading = [v for v, clock in enumerate(build.clocks) if v >= build.least and clock.leads(build.clocks[late])]
    build.emit(Align((late, build.draw(st.sampled_from(leading)))))


def add_block_start(build: Builder) -> None:
    """The final h of a backward direction."""
    add_backward(build)
    build.emit(BlockStart((len(build.ops),), build.blocks))


def fixed_matrix(rng: np.random.Generator, rows: int, columns: int, bits: int | None = None) -> Matrix:
    """Return random weights of an integer operator, which read by any power of two; of R by bits - 1."""
    weights = matrix(rng, rows, columns, Reading.FIXED, 16)
    exponent = int(rng.integers(4, 16)) if rng.random() < 0.8 else int(rng.integers(-40, 61))
    bits = fixed_bits(columns) if bits is None else bits
    return replace(weights, bits=bits, exponent=exponent)


def own_matrix(rng: np.random.Generator, rows: int, hidden: int) -> Matrix:
    """Return random weights that read h."""
    bits = min(fixed_bits(hidden), int(rng.choice([16, 16, 12, 2])))
    return replace(fixed_matrix(rng, rows, hidden, bits), exponent=bits - 1)


def sums(rng: np.random.Generator, count: int) -> Array:
    """Return biases of integer operators, some at their ends."""
    found = rng.integers(-(2 << GATE), (2 << GATE) + 1, count)
    found[rng.random(count) < 0.05] = MOST_SUM
    found[rng.random(count) < 0.05] = -MOST_SUM
    return found


def integer_lstm(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerLstm:
    """Return a random LSTM layer of integers of sizes (inputs, hidden)."""
    inputs, hidden = sizes
    w, r = fixed_matrix(rng, 4 * hidden, inputs), own_matrix(rng, 4 * hidden, hidden)
    h, c = Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0)
    return IntegerLstm((value,), w, r, sums(rng, 4 * hidden), h, c, rng.integers(0, fixed.UNIT + 1, hidden))


def integer_gru(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerGru:
    """Return a random GRU layer of integers of sizes (inputs, hidden)."""
    inputs, hidden = sizes
    w, r = fixed_matrix(rng, 3 * hidden, inputs), own_matrix(rng, 3 * hidden, hidden)
    return IntegerGru((value,), w, r, sums(rng, 3 * hidden), sums(rng, hidden), Slot(f"l{value}.h", 0))


def integer_linear(rng: np.random.Generator, value: int, sizes: tuple[int, int]) -> IntegerLinear:
    """Return a random linear layer of integers of sizes (inputs, outputs)."""
    inputs, outputs = sizes
    w = fixed_matrix(rng, outputs, inputs)
    return IntegerLinear((value,), w, sums(rng, outputs), int(rng.integers(8, 24)))


def integer_affine(rng: np.random.Generator, value: int, width: int) -> IntegerAffine:
    """Return random factors and constants of integers."""
    scale = (2.0 ** rng.uniform(-12, 6, width) * rng.choice([-1, 1], width)).astype(np.float32)
    return IntegerAffine((value,), scale, sums(rng, width), *(int(rng.integers(8, 24)) for _ in range(2)))


def add_integer_lstm(build: Builder) -> None:
    """A layer of any size."""
    value, slots = build.pick(), len(build.ops)
    layer = integer_lstm(build.rng, value, (build.widths[value], build.draw(WIDTHS)))
    build.emit(replace(layer, h=Slot(f"l{slots}.h", 0), c=Slot(f"l{slots}.c", 0)))


def add_integer_gru(build: Builder) -> None:
    """A layer of any size."""
    value, slots = build.pick(), len(build.ops)
    layer = integer_gru(build.rng, value, (build.widths[value], build.draw(WIDTHS)))
    build.emit(replace(layer, h=Slot(f"l{slots}.h", 0)))


def add_integer_linear(build: Builder) -> None:
    """A layer of any size."""
    value = build.pick()
    build.emit(integer_linear(build.rng, value, (build.widths[value], build.draw(WIDTHS))))


def add_integer_affine(build: Builder) -> None:
    """Factors and constants of either sign."""
    value = build.pick()
    build.emit(integer_affine(build.rng, value, build.widths[value]))


def add_integer_map(build: Builder) -> None:
    """Any function."""
    build.emit(IntegerMap((build.pick(),), build.one_of(INTEGER_MAPS)))


ADD: dict[type[Operator], Callable[[Builder], None]] = {
    Lstm: add_lstm,
    Gru: add_gru,
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
    IntegerLstm: add_integer_lstm,
    IntegerGru: add_integer_gru,
    IntegerLinear: add_integer_linear,
    IntegerAffine: add_integer_affine,
    IntegerMap: add_integer_map,
}
AT_AN_END = {Last, Embedding}  # drawn at the end of a program, and at the start of one that reads ids
MOST_DRAWN: list[type[Operator]] = [Lstm, *(operator for operator in OPERATORS if operator not in AT_AN_END)]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a program of any operators of the engine."""
    ids = draw(st.sampled_from([False, False, False, True]))
    build = Builder(draw, 1 if ids else draw(WIDTHS), ids=ids)
    for _ in range(draw(st.integers(1, 2)) if ids else 0):
        add_embedding(build)
    for operator in draw(st.lists(st.sampled_from(MOST_DRAWN), min_size=1, max_size=6)):
        ADD[operator](build)
    outputs = [("y", len(build.ops))]
    if draw(st.booleans()):
        outputs.append(("middle", draw(st.integers(1, len(build.ops)))))
    if draw(st.booleans()):
        outputs[0] = ("y", build.emit(Last((len(build.ops),))))
    blocks = build.blocks if any(isinstance(op, Backward) for op in build.ops) else None
    return Program(build.widths[0], tuple(build.ops), tuple(outputs), ids, blocks)


def frames_for(program: Program, rng: np.random.Generator, count: int) -> Floats:
    """Return a stream with loud, quiet, silent and one-sided frames in it; ids as floats `[frames, 1]`."""
    if program.ids:
        most = min(op.rows for op in program.ops if isinstance(op, Embedding))
        return rng.integers(0, most, (count, 1)).astype(np.float32)
    frames = rng.normal(0, 1, (count, program.input_width)).astype(np.float32)
    for scale in (0.0, 1e-30, 1e-18, 1e6, 1e18):
        frames[rng.random(count) < 0.08] *= np.float32(scale)
    frames[rng.random(frames.shape) < 0.1] = 0
    return frames


def as_pushed(program: Program, frames: Floats) -> Array:
    """Return frames as a caller pushes them: ids as integers `[frames]`."""
    return frames[:, 0].astype(np.int64) if program.ids else frames


def joined(program: Program, answers: Sequence[Mapping[str, Array | None]]) -> dict[str, Array]:
    """Return what several pushes gave as one: all rows of a timed output, of another the newest."""
    found: dict[str, Array] = {}
    for name, value in program.outputs:
        parts = [answer[name] for answer in answers]
        there = [part for part in parts if part is not None and (program.timed(value) or len(part))]
        found[name] = np.concatenate(there) if program.timed(value) else there[-1]
    return found


def whole(stream: ReferenceStream, program: Program, frames: Floats) -> dict[str, Array]:
    """Return what the specification makes of a stream from its start to its end."""
    return joined(program, [stream.push(frames), stream.finish()])


def by_name(program: Program, answer: Array | dict[str, Array]) -> dict[str, Array]:
    return answer if isinstance(answer, dict) else {program.outputs[0][0]: answer}


def push_cut(program: Program, stream: NativeStream, frames: Floats, at: list[int]) -> dict[str, Array]:
    """Push a stream in pieces, finish it, and join what came out."""
    answers = [by_name(program, stream.push(as_pushed(program, frames[a:b]))) for a, b in pairwise(at) if b > a]
    rest = stream.finish()
    return joined(program, answers if rest is None else [*answers, by_name(program, rest)])


def cuts(count: int) -> st.SearchStrategy[list[int]]:
    """Draw places to cut a stream of `count` frames into pushes; some pushes may be empty."""
    return st.lists(st.integers(0, count), max_size=6).map(lambda at: [0, *sorted(at), count])


def contract_of(program: Program) -> Contract:
    """Return a contract that fits a program."""
    outputs = tuple(Port(name, 0 if program.timed(value) else None, None) for name, value in program.outputs)
    states = tuple(
        State(slot.name, f"{slot.name}.out", slot.name.rpartition(".")[2], (1, "batch", vector.size))
        for op in program.ops
        for slot, vector in zip(op.slots, op.initial(), strict=False)
        if slot != HIDDEN
    )
    lags = [clock.lag(program.blocks) for clock in program.clocks]
    lookahead = None if None in lags else max(lag for lag in lags if lag is not None)
    return Contract((Port("x", 0, None),), outputs, states, lookahead, blocks=program.blocks)


def embedding(table: Matrix | Floats) -> Program:
    """Return a lookup and an LSTM."""
    layer = lstm(np.random.default_rng(0), 1, (4, 5), Reading.FRAME, 16)
    return Program(1, (Embedding((0,), table), layer), (("y", 2),), ids=True)


def write_lstm(
    path: Path, features: int = 6, hidden: int = 8, *, head: int = 3, nodes: Sequence[onnx.NodeProto] = ()
) -> Path:
    """Write a float streaming ONNX file: one LSTM, the last frame, a linear head; extra nodes at the end."""
    rng = np.random.default_rng(0)
    weights = {
        "W": rng.normal(0, 0.3, (1, 4 * hidden, features)),
        "R": rng.normal(0, 0.3, (1, 4 * hidden, hidden)),
        "B": rng.normal(0, 0.3, (1, 8 * hidden)),
        "V": rng.normal(0, 0.3, (head, hidden)),
        "b": rng.normal(0, 0.3, head),
    }
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    tensors += [numpy_helper.from_array(np.array([1]), "one"), numpy_helper.from_array(np.array(-1), "last")]
    body = [
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "lstm.h_in", "lstm.c_in"], ["Y", "lstm.h_out", "lstm.c_out"],
                         name="lstm", hidden_size=hidden),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        helper.make_node("Gather", ["y", "last"], ["frame"], axis=0),
        helper.make_node("Gemm", ["frame", "V", "b"], ["output"], name="head", transB=1),
        *nodes,
    ]  # fmt: skip

    def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    state: list[int | str] = [1, "batch", hidden]
    graph = helper.make_graph(
        body,
        "small",
        [value("x", ["time", "batch", features]), value("lstm.h_in", state), value("lstm.c_in", state)],
        [value("output", ["batch", head]), value("lstm.h_out", state), value("lstm.c_out", state)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    states = tuple(State(f"lstm.{k}_in", f"lstm.{k}_out", k, (1, "batch", hidden)) for k in ("h", "c"))
    contract = Contract((Port("x", 0, 1),), (Port("output", None, 0),), states, sample_rate=50.0, hop=1)
    model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
    path.write_bytes(model.SerializeToString())
    return path

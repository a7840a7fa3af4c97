"""Random programs and streams for property tests, and small streaming ONNX files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Floats
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.program import (
    Cell,
    Elementwise,
    Gru,
    Last,
    Linear,
    Lstm,
    Matrix,
    Op,
    Program,
    Reading,
    Rnn,
    Slot,
    activation_bits,
    is_hidden,
)

WIDTHS = st.one_of(st.integers(1, 20), st.sampled_from([31, 32, 33, 63, 64, 65, 100]))


def matrix(rng: np.random.Generator, rows: int, columns: int, reading: Reading, most_bits: int) -> Matrix:
    """Return random weights, some rows at the extremes of codes and scales."""
    codes = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
    codes[rng.random(rows) < 0.1] = 127
    codes[rng.random(rows) < 0.1] = 0
    scales = (2.0 ** rng.uniform(-14, -5, rows)).astype(np.float32)
    return Matrix(codes, scales, reading, activation_bits(columns, most_bits))


def lstm(rng: np.random.Generator, value: int, sizes: tuple[int, int], reading: Reading, most_bits: int) -> Lstm:
    """Return a random LSTM layer of sizes (inputs, hidden), some with bias."""
    inputs, hidden = sizes
    bias = rng.normal(0, 1, 4 * hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, 4 * hidden, inputs, reading, most_bits)
    r = matrix(rng, 4 * hidden, hidden, Reading.HIDDEN, most_bits)
    return Lstm((value,), w, r, bias, Slot(f"l{value}.h", 0), Slot(f"l{value}.c", 0))


def gru(rng: np.random.Generator, value: int, sizes: tuple[int, int], reading: Reading, most_bits: int) -> Gru:
    """Return a random GRU layer of sizes (inputs, hidden), some with bias."""
    inputs, hidden = sizes
    bias, own = (rng.normal(0, 1, n * hidden).astype(np.float32) * np.float32(rng.random() < 0.8) for n in (3, 1))
    w = matrix(rng, 3 * hidden, inputs, reading, most_bits)
    r = matrix(rng, 3 * hidden, hidden, Reading.HIDDEN, most_bits)
    return Gru((value,), w, r, bias, own, Slot(f"l{value}.h", 0))


def rnn(
    rng: np.random.Generator, value: int, sizes: tuple[int, int], reading: Reading, most_bits: int, *, function: str
) -> Rnn:
    """Return a random RNN layer of sizes (inputs, hidden), some with bias; with relu it may grow or decay."""
    inputs, hidden = sizes
    bias = rng.normal(0, 1, hidden).astype(np.float32) * np.float32(rng.random() < 0.8)
    w = matrix(rng, hidden, inputs, reading, most_bits)
    own = Reading.FRAME if function == "relu" else Reading.HIDDEN
    r = matrix(rng, hidden, hidden, own, most_bits)
    if function == "relu":  # h grows at most fourfold a step, so that most streams stay within bounds
        r = replace(r, scales=r.scales * np.float32(2.0 ** rng.uniform(-6, 0) / hidden))
    return Rnn((value,), function, w, r, bias, Slot(f"l{value}.h", 0))


def cell(
    rng: np.random.Generator, value: int, sizes: tuple[int, int], reading: Reading, most_bits: int, *, kind: str
) -> Cell:
    """Return a random layer of a kind: lstm, gru, tanh or relu."""
    if kind in ("tanh", "relu"):
        return rnn(rng, value, sizes, reading, most_bits, function=kind)
    return (lstm if kind == "lstm" else gru)(rng, value, sizes, reading, most_bits)


KINDS = ["lstm", "gru", "tanh", "relu", "linear", "elementwise"]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a stack of layers with what may stand around them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(WIDTHS)
    most_bits = draw(st.sampled_from([16, 8]))
    ops: list[Op] = []
    widths = [width]
    hidden = False  # whether the value at hand is an h within (-1, 1)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)):
        value, reading = len(ops), Reading.HIDDEN if hidden else Reading.FRAME
        size = draw(WIDTHS)
        if kind == "linear":
            bias = rng.normal(0, 1, size).astype(np.float32)
            ops.append(Linear((value,), matrix(rng, size, widths[-1], reading, most_bits), bias))
        elif kind == "elementwise":
            size = widths[-1]
            function = draw(st.sampled_from(["add", "sub", "mul", "div"]))
            ops.append(Elementwise((value,), function, rng.uniform(0.1, 3, size).astype(np.float32)))
        else:
            ops.append(cell(rng, value, (widths[-1], size), reading, most_bits, kind=kind))
        hidden = is_hidden(ops[-1])
        widths.append(size)
    outputs = [("y", len(ops))]
    if draw(st.booleans()):
        outputs.append(("middle", draw(st.integers(1, len(ops)))))
    if draw(st.booleans()):
        ops.append(Last((len(ops),)))
        outputs[0] = ("y", len(ops))
    return Program(width, tuple(ops), tuple(outputs))


def frames_for(program: Program, rng: np.random.Generator, count: int) -> Floats:
    """Return a stream with loud, quiet, silent and one-sided frames in it."""
    frames = rng.normal(0, 1, (count, program.input_width)).astype(np.float32)
    for scale in (0.0, 1e-30, 1e-18, 1e6, 1e18):
        frames[rng.random(count) < 0.08] *= np.float32(scale)
    frames[rng.random(frames.shape) < 0.1] = 0
    return frames


def cuts(count: int) -> st.SearchStrategy[list[int]]:
    """Draw places to cut a stream of `count` frames into pushes; some pushes may be empty."""
    return st.lists(st.integers(0, count), max_size=6).map(lambda at: [0, *sorted(at), count])


def contract_of(program: Program) -> Contract:
    """Return a contract that fits a program."""
    outputs = tuple(Port(name, 0 if program.timed(value) else None, None) for name, value in program.outputs)
    sizes = {op.h.name: op.hidden for op in program.ops if isinstance(op, Cell)}
    states = tuple(
        State(slot.name, f"{slot.name}.out", slot.name[-1], (1, "batch", sizes[slot.name[:-1] + "h"]))
        for slot in program.slots
    )
    return Contract((Port("x", 0, None),), outputs, states)


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

"""Every cell with weights of every format, on every instruction set, equals the specification with ==."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.runtime import _kernels
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.cells import GRU, LSTM, RNN
from tidegate.runtime.operators import Linear
from tidegate.runtime.operators.matrix import Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Op, Program
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import FORMATS, by_constants, cell, cell_with_options, lstm_projected, matrix
from tools.streams import contract_of, frames_for

VARIANTS = _kernels.variants()
WITH_OPTIONS = {"coupled": LSTM, "reset first": GRU, "clipped": RNN}
SIZES = [(1, 1), (7, 5), (8, 16), (33, 40), (70, 129)]


def layer(name: str, sizes: tuple[int, int], weights: tuple[int, int], most_bits: int, *, constants: bool) -> Op:
    """Return a layer whose matrices all have one format; some have a constant range."""
    rng = np.random.default_rng(sizes[0])
    made = _layer(rng, name, sizes, weights, most_bits)
    return by_constants(rng, made) if constants else made


def _layer(rng: np.random.Generator, name: str, sizes: tuple[int, int], weights: tuple[int, int], most_bits: int) -> Op:
    if name == "linear":
        bias = rng.normal(0, 1, sizes[1]).astype(np.float32)
        return Linear((0,), matrix(rng, sizes[1], sizes[0], Reading.FRAME, most_bits, weights=weights), bias)
    if name == "lstm_projected":
        return lstm_projected(rng, 0, (*sizes, sizes[0] + 3), Reading.FRAME, most_bits, weights=weights)
    if name in WITH_OPTIONS:
        kind = WITH_OPTIONS[name]
        options = replace(kind.plain, clip=2.0, coupled=kind is LSTM, reset_first=kind is GRU)
        return cell_with_options(rng, 0, sizes, Reading.FRAME, most_bits, kind=kind, weights=weights, options=options)
    return cell(rng, 0, sizes, Reading.FRAME, most_bits, kind=name, weights=weights)


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("name", ["linear", "lstm", "lstm_projected", "gru", "tanh", "relu", *WITH_OPTIONS])
@pytest.mark.parametrize("most_bits", [16, 8])
@pytest.mark.parametrize("weights", FORMATS)
def test_format(weights: tuple[int, int], most_bits: int, name: str, isa: str) -> None:
    for sizes in SIZES:
        op = layer(name, sizes, weights, most_bits, constants=sizes[0] % 2 == 1)
        program = Program(sizes[0], (op,), (("y", 1),))
        frames = np.clip(frames_for(program, np.random.default_rng(0), 19), -1e6, 1e6)
        stream, reference = (
            NativeModel(compile_program(program, contract_of(program)), isa).stream(),
            ReferenceStream(program),
        )
        for part in (frames[:1], frames[1:]):
            expected = reference.push(part)["y"]
            np.testing.assert_array_equal(stream.push(part), expected, strict=True)

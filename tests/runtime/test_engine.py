"""The engine equals its specification bit for bit, however a stream is cut, on every instruction set."""

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeModel, NativeStream
from tidegate.runtime.errors import BackendError, ChunkError
from tidegate.runtime.operators import Convolution, Geometry, Last, Linear
from tidegate.runtime.operators.matrix import FLOAT
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Matrix, Program, Reading
from tidegate.runtime.reference import ReferenceStream
from tools.random_layers import embedding, gru, lstm, matrix
from tools.random_programs import programs
from tools.streams import by_name, contract_of, cuts, frames_for, push_cut, whole

VARIANTS = _kernels.variants()
CASES = int(os.environ.get("TIDEGATE_CASES", "1000"))  # `make soak` asks for more


def open_stream(program: Program, isa: str) -> NativeStream:
    return NativeModel(compile_program(program, contract_of(program)), isa).stream()


@settings(max_examples=CASES)
@given(data=st.data(), program=programs(), seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_row_30_engine_equals_reference_however_cut(
    data: st.DataObject, program: Program, seed: int, count: int
) -> None:
    """Outputs and final states are equal with == for any program, cut and variant."""
    frames = frames_for(program, np.random.default_rng(seed), count)
    reference = ReferenceStream(program)
    stream = open_stream(program, data.draw(st.sampled_from(VARIANTS)))
    try:
        expected = whole(reference, program, frames)
    except ChunkError:
        with pytest.raises(ChunkError, match=r"chunk refused, state unchanged|at the end; stream unchanged"):
            push_cut(program, stream, frames, [0, count])
        untouched = ReferenceStream(program)
        with suppress(ChunkError):  # values that the end refuses were pushed before
            untouched.push(frames)
        for mine, start in zip(stream.states(), untouched.states(), strict=True):
            np.testing.assert_array_equal(mine, start, strict=True)
        return
    answers = push_cut(program, stream, frames, data.draw(cuts(count)))
    for name, values in expected.items():
        np.testing.assert_array_equal(answers[name], values, strict=True)
    for mine, theirs in zip(stream.states(), reference.states(), strict=True):
        np.testing.assert_array_equal(mine, theirs, strict=True)


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("reading", [Reading.FRAME, Reading.HIDDEN, Reading.CONSTANT])
@pytest.mark.parametrize("weights", [(4, 0), (8, 0), (8, 8), (16, 0), (FLOAT, 0)])
def test_one_input_has_the_bits_of_any_other(isa: str, reading: Reading, weights: tuple[int, int]) -> None:
    """Also: a product of zero is +0, so a bias of -0 adds up to +0."""
    rng = np.random.default_rng(0)
    for bits in (8, 16):
        w = matrix(rng, 37, 1, reading, bits, weights=weights)
        bias = np.where(rng.random(37) < 0.5, np.float32(-0.0), rng.normal(0, 1, 37).astype(np.float32))
        program = Program(1, (Linear((0,), w, bias),), (("y", 1),))
        edges = [0.0, -0.0, 2.0**-64, -(2.0**-65), 1e-30, -1e10, 1.0, -1.0]
        frames = np.concatenate([edges, rng.normal(0, 1, 25)]).astype(np.float32)[:, None]
        answer = np.asarray(open_stream(program, isa).push(frames))
        expected = whole(ReferenceStream(program), program, frames)["y"]
        assert answer.tobytes() == expected.tobytes()


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize(("layer", "hidden"), [(lstm, 64), (lstm, 65), (gru, 73), (gru, 74)])
def test_matrices_as_words_and_as_bytes_have_the_same_bits(isa: str, layer: Any, hidden: int) -> None:  # noqa: ANN401  a cell
    """Some variants store up to 16384 weights as words: W has more, R has as many or fewer, then more."""
    rng = np.random.default_rng(hidden)
    program = Program(96, (layer(rng, 0, (96, hidden), Reading.FRAME, 16),), (("y", 1),))
    frames = rng.normal(0, 1, (23, 96)).astype(np.float32)
    answer = np.asarray(open_stream(program, isa).push(frames))
    np.testing.assert_array_equal(answer, whole(ReferenceStream(program), program, frames)["y"], strict=True)


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("channels", [1, 2])  # with one, the taps of a kernel of one row are read where they are
@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (2, 2)])
def test_answers_that_read_nothing_of_the_frame_are_the_bias(isa: str, channels: int, kernel: tuple[int, int]) -> None:
    """The answers before the frame in both axes: no tap is in it, and none holds what another answer read."""
    rng = np.random.default_rng(0)
    height, width = 2 * kernel[0], 2 * kernel[1]  # zeros before the frame
    where = Geometry((4, 8), kernel, (1, 1), (1, 1), (height, width), (height + 4, width + 8))
    w = matrix(rng, 3, channels * kernel[0] * kernel[1], Reading.FRAME, 16)
    program = Program(32 * channels, (Convolution((0,), w, np.ones(3, np.float32), where),), (("y", 1),))
    frames = rng.normal(0, 1, (5, 32 * channels)).astype(np.float32)
    answer = np.asarray(open_stream(program, isa).push(frames))
    np.testing.assert_array_equal(answer, whole(ReferenceStream(program), program, frames)["y"], strict=True)
    np.testing.assert_array_equal(answer.reshape(5, 3, *where.answers)[:, :, 0, 0], 1)


@pytest.mark.parametrize("isa", VARIANTS)
def test_a_last_row_that_leaves_the_range_refuses_its_chunk(isa: str) -> None:
    """What has one row per push is computed after all frames: the states have gone on by then."""
    rng = np.random.default_rng(0)
    large = Matrix(np.full((1, 3), 2.0**40, np.float32), np.ones((1, 1), np.float32), Reading.FRAME, 16, FLOAT)
    ops = (lstm(rng, 0, (3, 4), Reading.FRAME, 16), Last((0,)), Linear((2,), large, np.zeros(1, np.float32)))
    stream = open_stream(Program(3, ops, (("h", 1), ("y", 3))), isa)
    stream.push(rng.normal(0, 1, (5, 3)).astype(np.float32))
    before = [np.array(state) for state in stream.states()]
    with pytest.raises(ChunkError, match=r"left 2\^64 on this chunk; chunk refused, state unchanged"):
        stream.push(np.full((5, 3), 2.0**30, np.float32))
    for mine, start in zip(stream.states(), before, strict=True):
        np.testing.assert_array_equal(mine, start, strict=True)


def accepted(program: Program, frames: Floats) -> bool:
    """Return whether a program takes a stream: some functions are not defined everywhere."""
    try:
        ReferenceStream(program).push(frames)
    except ChunkError:
        return False
    return True


@settings(max_examples=100)
@given(program=programs(), isa=st.sampled_from(VARIANTS), seed=st.integers(0, 2**32 - 1), bad=st.data())
def test_unfinite_value_is_refused_before_state_changes(
    program: Program, isa: str, seed: int, bad: st.DataObject
) -> None:
    """A NaN, infinity or magnitude above 2^64 anywhere in a chunk leaves the stream as it was."""
    frames = np.random.default_rng(seed).normal(0, 1, (20, program.input_width)).astype(np.float32)
    assume(not program.ids and accepted(program, frames))
    stream, untouched = open_stream(program, isa), open_stream(program, isa)
    stream.push(frames[:10])
    untouched.push(frames[:10])
    poisoned = frames.copy()
    at = bad.draw(st.tuples(st.integers(0, 19), st.integers(0, program.input_width - 1)))
    poisoned[at] = bad.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e20]))
    with pytest.raises(ChunkError, match=rf"frame {at[0]}, feature {at[1]}; wanted finite .* state unchanged"):
        stream.push(poisoned)
    after, expected = stream.push(frames[10:]), untouched.push(frames[10:])
    for name, values in by_name(program, expected).items():
        np.testing.assert_array_equal(by_name(program, after)[name], values)


@pytest.mark.parametrize("isa", VARIANTS)
def test_overflow_inside_is_refused_and_rolled_back(isa: str) -> None:
    """A value that leaves 2^64 inside the model is refused too, and the states are restored."""
    program = next_program_with_overflow()
    stream, reference = open_stream(program, isa), ReferenceStream(program)
    quiet = np.full((3, 4), 0.5, np.float32)
    loud = np.concatenate([quiet, np.full((20, 4), 1e18, np.float32)])
    np.testing.assert_array_equal(stream.push(quiet), reference.push(quiet)["y"])
    before = [s.copy() for s in stream.states()]
    with pytest.raises(ChunkError, match="a value inside the model left 2\\^64"):
        stream.push(loud)
    with pytest.raises(ChunkError):
        reference.push(loud)
    for now, then in zip(stream.states(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(stream.push(quiet), reference.push(quiet)["y"])


def next_program_with_overflow() -> Program:
    """An LSTM next to a gain that takes 1e18 out of range."""
    from tidegate.runtime.program import Elementwise

    first = lstm(np.random.default_rng(0), 0, (4, 5), Reading.FRAME, 16)
    gain = Elementwise((0,), "mul", np.full(4, 1e6, np.float32))
    return Program(4, (first, gain, Last((1,))), (("y", 1),))


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("accepted", [1, 17, 50])
def test_overflow_of_a_relu_state_is_refused_and_rolled_back(isa: str, accepted: int) -> None:
    """An RNN with relu whose h doubles each step passes 2^64; that push is refused and the earlier state is kept."""
    program = doubling_program()
    stream, reference = open_stream(program, isa), ReferenceStream(program)
    frames = np.full((80, 3), 0.5, np.float32)
    np.testing.assert_array_equal(stream.push(frames[:accepted]), reference.push(frames[:accepted])["y"])
    with pytest.raises(ChunkError, match="a value inside the model left 2\\^64"):
        stream.push(frames)
    with pytest.raises(ChunkError):
        reference.push(frames)
    for now, then in zip(stream.states(), reference.states(), strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(stream.push(frames[:1]), reference.push(frames[:1])["y"])


def doubling_program() -> Program:
    """An LSTM, and an RNN with relu of 20 units, each reading twice itself."""
    from tidegate.runtime.program import Rnn, Slot
    from tools.random_layers import lstm, matrix

    rng = np.random.default_rng(0)
    twice = Matrix(127 * np.eye(20, dtype=np.int8), np.full((20, 1), 2 / 127, np.float32), Reading.FRAME, 16)
    first = lstm(rng, 0, (3, 5), Reading.FRAME, 16)
    bias = rng.uniform(0, 1, 20).astype(np.float32)
    second = Rnn((1,), "relu", matrix(rng, 20, 5, Reading.HIDDEN, 16), twice, bias, Slot("l1.h", 0))
    return Program(3, (first, second), (("y", 2),))


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_row_3_silence_meets_no_subnormals(isa: str, kind: str) -> None:
    """A state that decays in silence is never subnormal: every value is 0 or at least 2^-60."""
    program = unbiased_program(kind)
    stream = open_stream(program, isa)
    stream.push(np.random.default_rng(1).normal(0, 1, (50, 4)).astype(np.float32))
    outputs = np.asarray(stream.push(np.zeros((3000, 4), np.float32)))
    assert not np.any((outputs != 0) & (np.abs(outputs) < np.finfo(np.float32).tiny))
    carried = stream.states()[-1]
    assert np.all((carried == 0) | (np.abs(carried) >= 2.0**-60))


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("kind", ["gru", "tanh", "relu"])
def test_state_that_nothing_drives_ends_at_positive_zero(isa: str, kind: str) -> None:
    program = unbiased_program(kind, recurrence=0.25)
    stream = open_stream(program, isa)
    stream.push(np.random.default_rng(1).normal(0, 1, (50, 4)).astype(np.float32))
    assert np.any(stream.states()[0] != 0)
    stream.push(np.zeros((200, 4), np.float32))
    assert not stream.states()[0].view(np.uint32).any()


def unbiased_program(kind: str, recurrence: float | None = None) -> Program:
    """One layer 4 -> 8 without bias, R random or `recurrence` times the unit matrix for each gate."""
    from tidegate.runtime.program import Gru
    from tools.random_layers import cell

    layer = cell(np.random.default_rng(1), 0, (4, 8), Reading.FRAME, 16, kind=kind)
    layer = replace(layer, bias=np.zeros_like(layer.bias))
    if isinstance(layer, Gru):
        layer = replace(layer, candidate_bias=np.zeros_like(layer.candidate_bias))
    if recurrence is not None:
        codes = np.tile(127 * np.eye(8, dtype=np.int8), (len(layer.bias) // 8, 1))
        scales = np.full((len(layer.bias), 1), recurrence / 127, np.float32)
        layer = replace(layer, r=replace(layer.r, codes=codes, scales=scales))
    return Program(4, (layer,), (("y", 1),))


def test_out_is_written_and_returned() -> None:
    program = next_program_with_overflow()
    stream, twin = open_stream(program, VARIANTS[0]), open_stream(program, VARIANTS[0])
    frames = np.random.default_rng(0).normal(0, 1, (7, 4)).astype(np.float32)
    out = np.empty((7, 5), np.float32)
    assert stream.push(frames, out=out) is out
    np.testing.assert_array_equal(out, twin.push(frames))


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((2, 5), np.float32), r"chunk has shape \(2, 5\), wanted \(frames, 4\)"),
        (np.zeros(4, np.float32), r"chunk has shape \(4\), wanted \(frames, 4\)"),
        (np.zeros((1, 2, 4), np.float32), r"chunk has shape \(1, 2, 4\), wanted \(frames, 4\)"),
        (np.zeros((2, 4), np.complex64), "chunk has dtype complex64, wanted float32"),
        (np.array([["a"] * 4]), "chunk has dtype <U1, wanted float32"),
    ],
)
def test_chunk_of_another_shape_or_type_is_refused(chunk: Array, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        open_stream(next_program_with_overflow(), VARIANTS[0]).push(chunk)


def test_other_float_types_and_layouts_are_converted() -> None:
    program = next_program_with_overflow()
    frames = np.random.default_rng(0).normal(0, 1, (6, 4)).astype(np.float32)
    expected = open_stream(program, VARIANTS[0]).push(frames)
    for same in (frames.astype(np.float64), np.asfortranarray(frames), np.repeat(frames, 2, 0)[::2], frames.tolist()):
        np.testing.assert_array_equal(open_stream(program, VARIANTS[0]).push(same), expected)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((2, 4), np.float32), r"out has shape \(2, 4\), wanted \(2, 5\)"),
        (np.empty((2, 5), np.float64), "out is not a C-contiguous float32 array"),
        (np.empty((2, 10), np.float32)[:, ::2], "out is not a C-contiguous float32 array"),
    ],
)
def test_out_that_does_not_fit_is_refused(out: Array, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        open_stream(next_program_with_overflow(), VARIANTS[0]).push(np.zeros((2, 4), np.float32), out=out)


def test_empty_chunk_gives_no_frames_and_changes_nothing() -> None:
    program = next_program_with_overflow()
    stream = open_stream(program, VARIANTS[0])
    stream.push(np.ones((3, 4), np.float32))
    before = stream.states()
    assert np.asarray(stream.push(np.zeros((0, 4), np.float32))).shape == (0, 5)
    for now, then in zip(stream.states(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_reset_makes_a_stream_as_new() -> None:
    program = next_program_with_overflow()
    stream = open_stream(program, VARIANTS[0])
    frames = np.random.default_rng(0).normal(0, 1, (9, 4)).astype(np.float32)
    first = np.array(stream.push(frames))
    stream.reset()
    np.testing.assert_array_equal(stream.push(frames), first)


def test_row_10_unknown_instruction_set_is_an_error_that_lists_those_there() -> None:
    with pytest.raises(BackendError, match=r"'mmx' is not in this build, which has .*scalar"):
        open_stream(next_program_with_overflow(), "mmx")


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("bad", [-1, 10, 2**24, 2**40])
def test_id_that_is_not_in_the_table_is_refused_before_state_changes(isa: str, bad: int) -> None:
    program = embedding(np.random.default_rng(0).normal(0, 1, (10, 4)).astype(np.float32))
    stream = open_stream(program, isa)
    stream.push(np.arange(10))
    before = stream.states()
    with pytest.raises(ChunkError, match=f"chunk holds id {bad} at frame 2; wanted 0 to 9; chunk refused"):
        stream.push(np.array([0, 9, bad, 3]))
    for now, then in zip(stream.states(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros(3, np.float32), "chunk has dtype float32, wanted ids, which are integers"),
        (np.zeros((3, 1), np.int64), r"chunk has shape \(3, 1\), wanted ids \(frames\)"),
    ],
)
def test_chunk_that_is_no_ids_is_refused(chunk: Array, message: str) -> None:
    program = embedding(np.ones((10, 4), np.float32))
    with pytest.raises(ChunkError, match=message):
        open_stream(program, VARIANTS[0]).push(chunk)


def test_ids_of_any_integer_type_are_taken() -> None:
    program = embedding(np.random.default_rng(0).normal(0, 1, (10, 4)).astype(np.float32))
    expected = open_stream(program, VARIANTS[0]).push(np.arange(10))
    several: list[Array] = [np.arange(10, dtype=np.uint8), np.arange(20)[::2] // 2]
    for same in several:
        np.testing.assert_array_equal(open_stream(program, VARIANTS[0]).push(same), expected)

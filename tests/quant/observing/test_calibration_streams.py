"""Calibration streams: which streams are refused, and which frames are held out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.quant.observing import calibration_streams as module
from tidegate.quant.observing.calibration_streams import Given, Streams, read_streams
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.contract import Blocks, Contract, Piece, Port, State
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.operators import Backward, Cell, Embedding, Linear, Operator
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading
from tidegate.runtime.program import Program
from tools.float_programs import layer
from tools.streams import contract_of


def linear(columns: int) -> Program:
    matrix = Matrix(np.ones((2, columns), np.float32), np.ones((2, 1), np.float32), Reading.FRAME, 16, FLOAT)
    return program(columns, Linear((0,), matrix, np.zeros(2, np.float32)))


def program(width: int, op: Operator, *, ids: bool = False) -> Program:
    return Program(width, (op,), (("y", 1),), ids)


def read(given: Iterable[Given], program: Program) -> Streams:
    return read_streams(given, program, contract_of(program))


def noise(*lengths: int) -> list[Floats]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((length, 3), np.float32) for length in lengths]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12).filter(lambda lengths: sum(lengths) >= 50))
def test_about_a_fifth_of_the_frames_is_held_out(lengths: list[int]) -> None:
    found = read(noise(*lengths), linear(3))
    assert found.complete
    assert found.count == sum(lengths)
    assert [len(held) for held in found.held] == [len(frames) for frames in found.frames] == lengths
    if len(lengths) >= 5:
        assert [bool(held.any()) for held in found.held if len(held)] == [
            i % 5 == 2 for i, length in enumerate(lengths) if length
        ]
        return
    for held in found.held:
        assert abs(held.mean() - 0.2 if len(held) >= 10 else 0) <= 2 / max(len(held), 1)


def test_two_of_ten_spans_of_a_single_stream_are_held_out() -> None:
    (held,) = read(noise(100), linear(3)).held
    assert np.flatnonzero(held).tolist() == [*range(20, 30), *range(70, 80)]


def test_an_endless_iterable_is_read_up_to_the_limit_of_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[Floats]:
        while True:
            yield from noise(40)

    monkeypatch.setattr(module, "MOST_FRAMES", 100)
    found = read(endless(), linear(3))
    assert [len(frames) for frames in found.frames] == [40, 40, 20]
    assert not found.complete


def test_ids_become_whole_floats() -> None:
    table = program(1, Embedding((0,), np.ones((9, 4), np.float32)), ids=True)
    found = read([np.arange(60) % 9], table)
    assert found.frames[0].shape == (60, 1)
    assert found.frames[0].dtype == np.float32
    with pytest.raises(QuantizationError, match=r"stream 0 is float32 \[60, 3\], wanted integers \[frames\]"):
        read(noise(60), table)


@pytest.mark.parametrize(
    ("given_streams", "message"),
    [
        (np.zeros((60, 3), np.float32), r"calibration is one array, wanted streams: put it into a list, \[array\]"),
        ([np.zeros((60, 4), np.float32)], r"stream 0 is float32 \[60, 4\], wanted float32 \[frames, 3\]"),
        ([np.zeros(60, np.float32)], r"stream 0 is float32 \[60\], wanted float32 \[frames, 3\]"),
        ([np.zeros((60, 3), complex)], r"stream 0 holds complex128, wanted float32"),
        ([np.zeros((9, 3)), np.full((60, 3), np.nan)], "stream 1, frame 0: a value is not finite or above 2"),
        ([np.zeros((49, 3))], "calibration has 49 frames, wanted at least 50, like those that the model will hear"),
        ([], "calibration has 0 frames"),
    ],
)
def test_unusable_calibration_is_refused(given_streams: list[Array], message: str) -> None:
    with pytest.raises(QuantizationError, match=message):
        read(given_streams, linear(3))


@pytest.mark.parametrize(("limit", "lengths"), [(40, [40, 40, 20]), (4096, [60, 40])])
def test_streams_of_a_model_that_looks_ahead_are_cut(
    monkeypatch: pytest.MonkeyPatch, limit: int, lengths: list[int]
) -> None:
    """All values of a stream are in memory together, and a stream that is one block has at most its limit of frames."""
    monkeypatch.setattr(module, "MOST_TOGETHER", 60)
    cell = layer("gru")
    assert isinstance(cell, Cell)
    blocks = Blocks(None, 0, limit)
    late = replace(program(3, Backward((0,), cell, blocks)), blocks=blocks)
    given = noise(100)
    found = read(given, late)
    assert [len(frames) for frames in found.frames] == [len(held) for held in found.held] == lengths
    np.testing.assert_array_equal(np.concatenate(found.frames), given[0])


# ---- several signals, and static inputs ----

X, SPEAKER = Port("signals", 0, None), State("speaker", "speaker_out", "static", (1, 2))
SEVERAL = Contract((X,), (Port("y", 0, None),), (SPEAKER,), pieces=(Piece("near", (2,)), Piece("far", (1,))))
NEAR, FAR, VECTOR = np.ones((60, 2), np.float32), np.zeros((60, 1), np.float32), np.ones((1, 2), np.float32)


def test_signals_and_static_inputs_are_given_by_name() -> None:
    given: list[Given] = [{"far": FAR, "near": NEAR, "speaker": VECTOR}, {"near": NEAR, "far": FAR, "speaker": -VECTOR}]
    found = read_streams(given, linear(3), SEVERAL)
    np.testing.assert_array_equal(found.frames[0], np.concatenate([NEAR, FAR], 1))
    assert [found.static_of(number)["speaker"].tolist() for number in (0, 1)] == [[[1, 1]], [[-1, -1]]]
    one = replace(SEVERAL, pieces=(), inputs=(Port("x", 0, None),))
    found = read_streams([{"x": np.ones((60, 3), np.float32), "speaker": VECTOR}], linear(3), one)
    assert found.frames[0].shape == (60, 3)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (NEAR, "stream 0 has no static input 'speaker', wanted a dict of near, far, speaker"),
        ({"near": NEAR, "far": FAR}, "stream 0 has no static input 'speaker', wanted a dict of near, far, speaker"),
        ({"near": NEAR, "speaker": VECTOR}, "stream 0: chunk has no signal 'far'; the model has near, far"),
        ({"near": NEAR, "far": FAR[:9], "speaker": VECTOR}, "signals 'far' and 'near' have 9 and 60 frames"),
        (
            {"near": NEAR, "far": FAR, "speaker": VECTOR[0]},
            r"state 'speaker' is float32 \(2,\), wanted float32 \(1, 2\)",
        ),
    ],
)
def test_a_stream_that_lacks_a_signal_or_a_static_input_is_refused(stream: Given, message: str) -> None:
    with pytest.raises(QuantizationError, match=message):
        read_streams([stream], linear(3), SEVERAL)

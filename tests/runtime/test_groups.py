"""Groups: each row gives the bits of a single stream, on both backends, whatever happens in other rows."""

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidegate.quant import quantize
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Answer, Array
from tidegate.runtime.backends import onnxruntime_snapshot as snapshots
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime_group import OnnxruntimeGroup
from tidegate.runtime.errors import (
    BackendError,
    ChunkError,
    RefusedRowsError,
    RowError,
    SnapshotError,
    UnsupportedError,
)
from tidegate.runtime.load import load
from tidegate.runtime.operators import Elementwise
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.streams import Group, Model, Stream
from tools.onnx_files import write_lstm
from tools.random_layers import cell, embedding, gru, lstm, rnn
from tools.random_programs import programs
from tools.streams import as_pushed, contract_of, frames_for

VARIANTS = _kernels.variants()
BACKENDS = ["native", "onnxruntime"]
CHUNKS = np.random.default_rng(1).normal(0, 1, (4, 9, 6)).astype(np.float32)


def small_model() -> NativeModel:
    """An LSTM, a GRU, RNNs with tanh and relu, and a gain that takes 1e18 out of range."""
    rng = np.random.default_rng(0)
    ops = (
        lstm(rng, 0, (6, 5), Reading.FRAME, 16),
        gru(rng, 1, (5, 3), Reading.HIDDEN, 16),
        rnn(rng, 2, (3, 4), Reading.HIDDEN, 8, function="tanh"),
        rnn(rng, 3, (4, 4), Reading.HIDDEN, 16, function="relu"),
        Elementwise((0,), "mul", np.full(6, 1e6, np.float32)),
    )
    program = Program(6, ops, (("y", 4), ("gain", 5)))
    return NativeModel(compile_program(program, contract_of(program)))


def open_model(tmp_path: Path, backend: str) -> Model:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    return load(tmp_path / "m.int8.onnx", backend)  # type: ignore[arg-type]


def by_name(answer: Answer) -> dict[str, Array]:
    return answer if isinstance(answer, dict) else {"": answer}


class Alone:
    """The reference of a group: one stream per row, pushed one by one."""

    def __init__(self, model: Model, rows: int) -> None:
        self.streams: list[Stream] = [model.stream() for _ in range(rows)]

    def answer(self, row: int, chunk: Array) -> tuple[dict[str, Array], str | None]:
        """Return the answer of a stream, and its reason if it refuses."""
        try:
            return by_name(self.streams[row].push(chunk)), None
        except ChunkError as error:
            return {}, str(error)

    def check(self, group: Group, chunks: Array, rows: list[int]) -> None:
        """Push both and compare answers, refused rows and reasons."""
        refused: dict[int, str] = {}
        try:
            seen = by_name(group.push(chunks, rows))
        except RefusedRowsError as error:
            seen, refused = by_name(error.answers), error.refused
        for place, row in enumerate(rows):
            wanted, why = self.answer(row, chunks[place])
            assert refused.pop(row, None) == why
            if why is not None:
                assert all(np.isnan(values[place]).all() for values in seen.values())
                continue
            for name, values in wanted.items():
                np.testing.assert_array_equal(seen[name][place], values, strict=True)
        assert not refused


# ---- a row is as alone ----


@settings(max_examples=150)
@given(program=programs(), isa=st.sampled_from(VARIANTS), rows=st.integers(1, 19), data=st.data())
def test_row_26_rows_of_any_program_are_as_alone(program: Program, isa: str, rows: int, data: st.DataObject) -> None:
    """Any program, variant and schedule of pushes, leaving, joining, resets and forks: equal with ==."""
    model = NativeModel(compile_program(program, contract_of(program)), isa)
    try:
        group, alone = model.streams(rows), Alone(model, rows)
    except UnsupportedError:  # it looks ahead; see below
        assume(False)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(data.draw(st.integers(1, 8))):
        row = int(rng.integers(rows))
        move = rng.random()
        if move < 0.1:
            (group.leave if row in group.joined else group.join)(row)
            alone.streams[row].reset()
        elif move < 0.2 and row in group.joined:
            group.reset(row)
            alone.streams[row].reset()
        elif move < 0.3 and row in group.joined and len(group.joined) < rows:
            alone.streams[group.fork(row)].restore(alone.streams[row].snapshot())
        some = [int(r) for r in rng.permutation(group.joined)[: int(rng.integers(rows + 1))]]
        count = int(rng.choice([1, 1, 2, 3, 17]))
        chunks = [as_pushed(program, frames_for(program, rng, count)) for _ in some]
        if some:
            alone.check(group, np.stack(chunks), some)
    for row in group.joined:
        assert group.snapshot(row) == alone.streams[row].snapshot()


@pytest.mark.parametrize("isa", VARIANTS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
@pytest.mark.parametrize("neighbour", [np.nan, 10.0, 0.0])
def test_row_26_neighbours_change_nothing(isa: str, kind: str, neighbour: float) -> None:
    """Some rows are ten times louder, silent or refused: the other rows answer with the same bits."""
    layer = cell(np.random.default_rng(1), 0, (6, 40), Reading.FRAME, 8, kind=kind)
    program = Program(6, (layer,), (("y", 1),))
    model = NativeModel(compile_program(program, contract_of(program)), isa)
    group, alone = model.streams(4), Alone(model, 4)
    chunks = CHUNKS.copy()
    chunks[[0, 2]] *= np.float32(neighbour)
    for _ in range(3):
        alone.check(group, chunks, [0, 1, 2, 3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_both_backends_are_as_alone(tmp_path: Path, backend: str) -> None:
    model = open_model(tmp_path, backend)
    group, alone = model.streams(4), Alone(model, 4)
    chunks = CHUNKS.copy()
    alone.check(group, chunks, [0, 1, 2, 3])
    chunks[1, 3, 2] = np.inf
    alone.check(group, chunks[:3], [2, 0, 3])
    chunks[0, 0, 0] = chunks[2, 0, 0] = np.nan
    alone.check(group, chunks[:3], [1, 2, 3])
    alone.check(group, chunks[3:], [1])
    for row in range(4):
        assert group.snapshot(row) == alone.streams[row].snapshot()
        assert group.frames(row) == alone.streams[row].frames
        assert group.refused(row) == alone.streams[row].refused
        for name, values in group.state(row).items():
            np.testing.assert_array_equal(values, alone.streams[row].state()[name], strict=True)


def test_overflow_inside_a_row_is_rolled_back_alone() -> None:
    model = small_model()
    group, alone = model.streams(4), Alone(model, 4)
    chunks = np.repeat(CHUNKS, 5, 1)
    alone.check(group, chunks, [0, 1, 2, 3])
    chunks[1, 40:] = 1e18
    chunks[3, 0] = -1e18
    with pytest.raises(RefusedRowsError, match=r"2 of 4 rows refused, the answers of the other 2 are in `answers`"):
        model.streams(4).push(chunks)
    alone.check(group, chunks, [0, 1, 2, 3])
    alone.check(group, CHUNKS, [3, 2, 1, 0])


def test_ids_stream_in_rows() -> None:
    program = embedding(np.random.default_rng(0).normal(0, 1, (10, 4)).astype(np.float32))
    model = NativeModel(compile_program(program, contract_of(program)))
    group, alone = model.streams(3), Alone(model, 3)
    alone.check(group, np.arange(9).reshape(3, 3), [0, 1, 2])
    alone.check(group, np.array([[3, 10], [9, 0]]), [2, 0])
    with pytest.raises(ChunkError, match=r"chunk has shape \(3\), wanted ids \(rows, frames\)"):
        group.push(np.arange(3))
    with pytest.raises(ChunkError, match="chunk has dtype float32, wanted ids, which are integers"):
        group.push(np.zeros((3, 1), np.float32))


def test_model_that_looks_ahead_has_no_groups() -> None:
    model = NativeModel((Path(__file__).parents[1] / "vectors" / "blocks.tide").read_bytes())
    with pytest.raises(UnsupportedError, match=r"the model looks ahead, .* push its streams one by one"):
        model.streams(2)


# ---- answers ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_refused_rows_are_named_and_the_others_answer(tmp_path: Path, backend: str) -> None:
    group = open_model(tmp_path, backend).streams(3)
    chunks = CHUNKS[:3].copy()
    chunks[1, 4, 2] = np.nan
    wanted = (
        r"1 of 3 rows refused, the answers of the other 2 are in `answers`; "
        r"row 1: chunk holds nan at frame 4, feature 2; wanted finite .*; chunk refused, state unchanged"
    )
    with pytest.raises(RefusedRowsError, match=wanted) as caught:
        group.push(chunks)
    answers = np.asarray(caught.value.answers)
    assert answers.shape == (3, 3)
    assert np.isnan(answers).any(axis=1).tolist() == [False, True, False]
    assert list(caught.value.refused) == [1]
    assert [(group.frames(row), group.refused(row)) for row in range(3)] == [(9, 0), (0, 9), (9, 0)]
    chunks[...] = np.inf
    with pytest.raises(RefusedRowsError, match="3 of 3 rows refused") as caught:
        group.push(chunks)
    assert np.isnan(np.asarray(caught.value.answers)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_out_is_written_and_returned(tmp_path: Path, backend: str) -> None:
    model = open_model(tmp_path, backend)
    group, out = model.streams(4), np.empty((4, 3), np.float32)
    assert group.push(CHUNKS, out=out) is out
    np.testing.assert_array_equal(out, model.streams(4).push(CHUNKS))
    before = [group.snapshot(row) for row in range(4)]
    with pytest.raises(ChunkError, match=r"out (has|is) .*wanted"):
        group.push(CHUNKS, out=np.empty((4, 5), np.float32))
    assert [group.snapshot(row) for row in range(4)] == before


def test_out_is_refused_where_there_are_several_outputs() -> None:
    with pytest.raises(ChunkError, match="out is for models with one output; this one has several"):
        small_model().streams(4).push(CHUNKS, out=np.empty((4, 9, 4), np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunks", [CHUNKS[:3], CHUNKS[0], CHUNKS[..., :5], np.zeros((4, 2, 6), np.complex64)])
def test_chunks_of_another_shape_or_type_are_refused_before_anything_streams(
    tmp_path: Path, backend: str, chunks: Array
) -> None:
    group = open_model(tmp_path, backend).streams(4)
    with pytest.raises(ChunkError, match=r"wanted") as caught:
        group.push(chunks)
    assert type(caught.value) is ChunkError
    assert [group.frames(row) for row in range(4)] == [0] * 4


# ---- rows ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_join_and_leave(tmp_path: Path, backend: str) -> None:
    group = open_model(tmp_path, backend).streams(3)
    new = group.snapshot(1)
    group.push(CHUNKS[:3])
    assert (group.rows, group.joined) == (3, (0, 1, 2))
    group.leave(1)
    assert group.joined == (0, 2)
    assert np.asarray(group.push(CHUNKS[:2])).shape == (2, 3)
    assert group.join() == 1
    assert group.snapshot(1) == new
    group.leave(2)
    assert group.fork(0) == 2
    assert group.snapshot(2) == group.snapshot(0)
    for row in range(3):
        group.leave(row)
    assert np.asarray(group.push(CHUNKS[:1], [group.join(2)])).shape == (1, 3)


MISUSES: dict[str, tuple[Callable[[Group], object], str]] = {
    "beyond": (lambda group: group.reset(3), "row 3 is not there; the group has rows 0 to 2"),
    "negative": (lambda group: group.push(CHUNKS[:1], [-1]), "row -1 is not there"),
    "twice": (lambda group: group.push(CHUNKS[:3], [0, 2, 0]), "row 0 is named more than once"),
    "free": (lambda group: group.push(CHUNKS[:1], [1]), "row 1 has not joined; join it first"),
    "left": (lambda group: group.leave(1), "row 1 has not joined"),
    "joined": (lambda group: group.join(0), "row 0 has joined; leave it first, or reset it"),
    "state": (lambda group: group.state(1), "row 1 has not joined"),
    "full": (lambda group: [group.join(), group.join()], "all 3 rows have joined; leave one first"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("misuse", MISUSES)
def test_row_that_cannot_take_part_is_an_error_by_name(tmp_path: Path, backend: str, misuse: str) -> None:
    model = open_model(tmp_path, backend)
    group = model.streams(3)
    group.leave(1)
    call, message = MISUSES[misuse]
    with pytest.raises(RowError, match=message):
        call(group)
    assert (group.frames(0), group.frames(2)) == (0, 0)
    with pytest.raises(RowError, match="0 streams in a group; wanted 1 to 1048576"):
        model.streams(0)


# ---- snapshots and counters ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_snapshots_go_from_rows_to_streams_and_back(tmp_path: Path, backend: str) -> None:
    model = open_model(tmp_path, backend)
    group, stream = model.streams(2), model.stream()
    group.push(CHUNKS[:2])
    stream.restore(group.snapshot(1))
    assert stream.snapshot() == group.snapshot(1)
    expected = stream.push(CHUNKS[2])
    np.testing.assert_array_equal(np.asarray(group.push(CHUNKS[2:3], [1]))[0], expected)
    before = group.snapshot(0)
    with pytest.raises(SnapshotError, match="snapshot: size is 3"):
        group.restore(0, b"abc")
    assert group.snapshot(0) == before
    group.restore(0, stream.snapshot())
    assert group.snapshot(0) == stream.snapshot()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("start", [2**32 - 5, 2**53 - 5, 2**64 - 5])
def test_row_33_counters_of_rows_near_their_wrap_count_on_or_stay(tmp_path: Path, backend: str, start: int) -> None:
    model = open_model(tmp_path, backend)
    group, plain = model.streams(2), model.streams(2)
    saved = group.snapshot(1)
    body = saved[48:88] + struct.pack("<QQ", start, start + 1) + saved[104:]
    group.restore(1, saved[:16] + snapshots.hash_of(body) + body)
    np.testing.assert_array_equal(group.push(CHUNKS[:2]), plain.push(CHUNKS[:2]))
    with pytest.raises(RefusedRowsError):
        group.push(np.full((1, 3, 6), np.nan, np.float32), [1])
    most = 2**64 - 1
    assert (group.frames(1), group.refused(1)) == (min(start + 9, most), min(start + 4, most))
    assert (group.frames(0), group.refused(0)) == (9, 0)


# ---- callers at the same time ----


def test_row_34_second_caller_of_a_group_gets_an_error_by_name() -> None:
    program = Program(64, (lstm(np.random.default_rng(0), 0, (64, 256), Reading.FRAME, 16),), (("y", 1),))
    model = NativeModel(compile_program(program, contract_of(program)), "scalar")
    group, plain = model.streams(2), model.streams(2)
    chunks = np.ones((2, 500, 64), np.float32)
    answers: list[Answer] = []
    errors: set[str] = set()
    while not errors:
        for row in group.joined:
            group.reset(row)
        thread = threading.Thread(target=lambda: answers.append(group.push(chunks)))
        thread.start()
        while thread.is_alive() and not errors:
            try:
                group.frames(0)
            except BackendError as error:
                errors.add(str(error))
        thread.join()
    assert errors == {"group is in use by another thread; give each thread a group of its own"}
    np.testing.assert_array_equal(answers[-1], plain.push(chunks))


def test_row_34_second_caller_of_a_group_on_onnxruntime_gets_the_same_error(tmp_path: Path) -> None:
    group = open_model(tmp_path, "onnxruntime").streams(1)
    assert isinstance(group, OnnxruntimeGroup)
    with (
        group._turn(),
        pytest.raises(BackendError, match="group is in use by another thread; give each thread a group"),
    ):
        group.push(CHUNKS[:1])
    group.push(CHUNKS[:1])

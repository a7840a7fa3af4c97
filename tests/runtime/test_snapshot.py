"""A snapshot: a stream continues from it with the same bits anywhere; any other bytes are refused by name."""

import struct
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidegate.quant import quantize
from tidegate.runtime import _kernels
from tidegate.runtime.backends.native import NativeModel, NativeStream
from tidegate.runtime.errors import ChunkError, SnapshotError
from tidegate.runtime.load import load
from tidegate.runtime.operators import Elementwise
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.streams import Model
from tools.onnx_files import write_lstm
from tools.random_layers import embedding, gru, lstm, rnn
from tools.random_programs import programs
from tools.streams import as_pushed, contract_of, frames_for

VARIANTS = _kernels.variants()
FRAMES = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)
HEADER_BYTES, HASHED_FROM, AT_FRAMES, AT_REFUSED, AT_FINISHED = 112, 48, 88, 96, 104


def small_plan(seed: int = 0) -> bytes:
    """An LSTM 6 -> 5, a GRU 5 -> 3, RNNs of 4 with tanh and relu, and a gain that takes 1e18 out of range."""
    rng = np.random.default_rng(seed)
    ops = (
        lstm(rng, 0, (6, 5), Reading.FRAME, 16),
        gru(rng, 1, (5, 3), Reading.HIDDEN, 16),
        rnn(rng, 2, (3, 4), Reading.HIDDEN, 8, function="tanh"),
        rnn(rng, 3, (4, 4), Reading.HIDDEN, 16, function="relu"),
        Elementwise((0,), "mul", np.full(6, 1e6, np.float32)),
    )
    program = Program(6, ops, (("y", 4),))
    return compile_program(program, contract_of(program))


def stream_of(plan: bytes, isa: str | None = None) -> NativeStream:
    return NativeModel(plan, isa).stream()


def seal(snapshot: bytes | bytearray) -> bytes:
    """Repair the hash, as somebody who alters a snapshot on purpose would do."""
    body = bytes(snapshot[HASHED_FROM:])
    return bytes(snapshot[:16]) + blake2b(body, digest_size=32).digest() + body


def with_counters(snapshot: bytes, frames: int, refused: int) -> bytes:
    return seal(snapshot[:AT_FRAMES] + struct.pack("<QQ", frames, refused) + snapshot[AT_FINISHED:])


@settings(max_examples=200)
@given(program=programs(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_restored_stream_goes_on_with_the_same_bits_on_any_instruction_set(
    program: Program, seed: int, data: st.DataObject
) -> None:
    plan = compile_program(program, contract_of(program))
    first, second = (stream_of(plan, data.draw(st.sampled_from(VARIANTS))) for _ in range(2))
    frames = as_pushed(program, frames_for(program, np.random.default_rng(seed), 30))
    try:
        first.push(frames[:13])
        saved = first.snapshot()
        expected = first.push(frames[13:])
    except ChunkError:
        assume(False)
    second.push(frames[:3])
    second.restore(saved)
    assert second.snapshot() == saved
    np.testing.assert_equal(second.push(frames[13:]), expected)
    assert second.snapshot() == first.snapshot()


def test_snapshot_has_the_same_bytes_on_every_instruction_set() -> None:
    plan = small_plan()
    streams = [stream_of(plan, isa) for isa in VARIANTS]
    for stream in streams:
        stream.push(FRAMES)
    assert len({stream.snapshot() for stream in streams}) == 1


def test_layout_is_that_of_the_document() -> None:
    plan = small_plan()
    stream = stream_of(plan)
    stream.push(FRAMES)
    saved = stream.snapshot()
    states = np.concatenate(stream.states()).astype("<f4").tobytes()
    digest = blake2b(saved[48:], digest_size=32).digest()
    assert saved[:16] == b"TIDESNAP" + struct.pack("<II", 2, 1)
    assert saved[16:48] == digest
    assert saved[48:112] == struct.pack("<Q32sQQQ", len(saved), plan[16:48], 40, 0, 0)
    assert saved[112:] == states


def test_snapshot_of_two_layers_of_128_takes_two_kilobytes() -> None:
    rng = np.random.default_rng(0)
    layers = lstm(rng, 0, (40, 128), Reading.FRAME, 16), lstm(rng, 1, (128, 128), Reading.HIDDEN, 16)
    program = Program(40, layers, (("y", 2),))
    assert len(stream_of(compile_program(program, contract_of(program))).snapshot()) == 2160


def test_another_process_goes_on(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    stream = load(tmp_path / "m.int8.onnx").stream()
    stream.push(FRAMES[:20])
    (tmp_path / "saved").write_bytes(stream.snapshot())
    np.save(tmp_path / "rest.npy", FRAMES[20:])
    code = """
import sys, numpy as np, tidegate as tg
from pathlib import Path
folder = Path(sys.argv[1])
stream = tg.load(folder / 'm.int8.onnx', isa='scalar').stream()
stream.restore((folder / 'saved').read_bytes())
np.save(folder / 'y.npy', stream.push(np.load(folder / 'rest.npy')))
print(stream.frames)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "40\n"
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), stream.push(FRAMES[20:]))


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_fork_goes_on_alone(tmp_path: Path, backend: str) -> None:
    stream = open_model(tmp_path, backend).stream()
    stream.push(FRAMES[:20])
    other = stream.fork()
    assert other.snapshot() == stream.snapshot()
    expected = stream.push(FRAMES[20:])
    assert other.frames == 20
    np.testing.assert_array_equal(other.push(FRAMES[20:]), expected)


def open_model(tmp_path: Path, backend: str, hidden: int = 8) -> Model:
    """A model of either backend."""
    quantize(write_lstm(tmp_path / "m.onnx", hidden=hidden), tmp_path / "m.int8.onnx")
    return load(tmp_path / "m.int8.onnx", backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_row_27_reset_leaves_nothing_behind(tmp_path: Path, backend: str) -> None:
    """A stream that was reset has the bytes of a new one, counters too."""
    model = open_model(tmp_path, backend)
    stream = model.stream()
    stream.push(FRAMES)
    with pytest.raises(ChunkError):
        stream.push(np.full((3, 6), np.nan, np.float32))
    stream.reset()
    assert stream.snapshot() == model.stream().snapshot()
    np.testing.assert_array_equal(stream.push(FRAMES), model.stream().push(FRAMES))


@pytest.mark.skipif("sys.platform != 'linux'", reason="reads /proc")
def test_row_26_no_byte_of_a_closed_stream_is_left_in_memory(tmp_path: Path) -> None:
    """Every float of the state is a canary; after the stream, memory holds it as often as before."""
    plan = small_plan()
    (tmp_path / "m.tide").write_bytes(plan)
    saved = stream_of(plan).snapshot()
    count = (len(saved) - HEADER_BYTES) // 4
    (tmp_path / "saved").write_bytes(seal(saved[:HEADER_BYTES] + struct.pack("<f", 0.70718) * count))
    code = """
import sys
from pathlib import Path
import tidegate as tg
folder = Path(sys.argv[1])
model, saved = tg.load(folder / 'm.tide'), (folder / 'saved').read_bytes()
def stage():
    print(flush=True)
    input()
stage()
streams = [model.stream() for _ in range(20)]
for stream in streams:
    stream.restore(saved)
stage()
del stream, streams
stage()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        before, during, after = (canaries(process, 0.70718) for _ in range(3))
    assert during - before >= 20 * count
    assert after <= before


def canaries(process: "subprocess.Popen[str]", value: float) -> int:
    """Wait for a process's line, count a float in what it may write, and let it go on.

    From outside, because a process that reads its own memory makes one more copy.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    found = 0
    with Path(f"/proc/{process.pid}/maps").open() as maps, Path(f"/proc/{process.pid}/mem").open("rb", 0) as memory:
        for line in maps:
            if " rw" in line and "[v" not in line:
                first, last = (int(at, 16) for at in line.split()[0].split("-"))
                memory.seek(first)
                found += int(np.count_nonzero(np.frombuffer(memory.read(last - first), "<f4") == np.float32(value)))
    process.stdin.write("\n")
    process.stdin.flush()
    return found


def test_row_26_streams_of_one_model_never_mix() -> None:
    """64 streams opened, pushed, reset, forked and closed at random: each answers as a single stream."""
    model, rng = NativeModel(small_plan()), np.random.default_rng(0)
    pairs = [(model.stream(), NativeModel(small_plan()).stream()) for _ in range(64)]
    for _ in range(3000):
        index, move = int(rng.integers(64)), rng.random()
        shared, alone = pairs[index]
        if move < 0.05:
            pairs[index] = (model.stream(), NativeModel(small_plan()).stream())
        elif move < 0.1:
            shared.reset()
            alone.reset()
        elif move < 0.15:
            pairs[int(rng.integers(64))] = (shared.fork(), alone.fork())
        else:
            frames = rng.normal(0, 10 ** rng.uniform(-3, 1), (int(rng.integers(1, 20)), 6)).astype(np.float32)
            frames[0, 0] = np.nan if rng.random() < 0.1 else 1
            seen = []
            for stream in (shared, alone):
                try:
                    seen.append(str(np.asarray(stream.push(frames)).tobytes()))
                except ChunkError as error:
                    seen.append(str(error))
            assert seen[0] == seen[1]
    for shared, alone in pairs:
        assert shared.snapshot() == alone.snapshot()


# ---- what is refused ----


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_row_28_every_flipped_bit_and_truncation_is_refused(tmp_path: Path, backend: str) -> None:
    stream = open_model(tmp_path, backend).stream()
    stream.push(FRAMES)
    saved = stream.snapshot()
    stream.push(FRAMES)
    before = stream.snapshot()
    for bit in range(8 * len(saved)):
        altered = bytearray(saved)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SnapshotError, match=r"snapshot: (magic|version|backend|size|hash) is"):
            stream.restore(bytes(altered))
    for size in range(len(saved)):
        with pytest.raises(SnapshotError, match=f"snapshot: size is {size}, wanted {len(saved)}"):
            stream.restore(saved[:size])
    with pytest.raises(SnapshotError, match=f"snapshot: size is {len(saved) + 1}"):
        stream.restore(saved + b"\0")
    assert stream.snapshot() == before


def test_row_28_snapshot_of_another_model_is_refused(tmp_path: Path) -> None:
    """Also models with the same shapes, and the other backend."""
    (tmp_path / "wide").mkdir()
    models: list[Model] = [
        NativeModel(small_plan(0)),
        NativeModel(small_plan(1)),
        open_model(tmp_path, "native"),
        open_model(tmp_path, "onnxruntime"),
        open_model(tmp_path / "wide", "onnxruntime", hidden=9),
    ]
    for taken in models:
        for other in models:
            stream = other.stream()
            stream.push(FRAMES)
            before, saved = stream.snapshot(), taken.stream().snapshot()
            if taken is other:
                stream.restore(saved)
                continue
            field = "model" if taken.backend == other.backend else "backend"
            with pytest.raises(SnapshotError, match=rf"snapshot: {field} is .*restore it there; stream unchanged"):
                stream.restore(saved)
            assert stream.snapshot() == before


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20, -1e20])
def test_row_28_state_that_cannot_be_is_refused_under_a_repaired_hash(
    tmp_path: Path, backend: str, value: float
) -> None:
    stream = open_model(tmp_path, backend).stream()
    stream.push(FRAMES)
    saved = stream.snapshot()
    for at in range(HEADER_BYTES, len(saved), 4):
        altered = bytearray(saved)
        altered[at : at + 4] = struct.pack("<f", value)
        with pytest.raises(SnapshotError, match=r"snapshot: state holds .*, wanted finite values up to 2\^64"):
            stream.restore(seal(altered))
    assert stream.snapshot() == saved


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"X", "magic is"),
        (8, b"\3", "version is 3, wanted 2; it is of another version of the format, take it again"),
        (12, b"\2", "backend is 2, wanted 1; it was taken on another backend"),
        (48, b"\1", "size is"),
        (56, b"any", "model is .* it was taken of another plan"),
    ],
)
def test_row_28_each_field_is_checked_by_name(at: int, value: bytes, message: str) -> None:
    stream = stream_of(small_plan())
    saved = stream.snapshot()
    with pytest.raises(SnapshotError, match=f"snapshot: {message}"):
        stream.restore(seal(saved[:at] + value + saved[at + len(value) :]))


def test_row_28_any_other_state_under_a_repaired_hash_runs() -> None:
    """With any finite values from a stranger, later pushes answer or are refused by name."""
    plan = small_plan()
    stream = stream_of(plan)
    saved, rng = stream.snapshot(), np.random.default_rng(0)
    count = (len(saved) - HEADER_BYTES) // 4
    for loudness in (1e-45, 1e-30, 1.0, 1e5, 1.8e19):
        state = rng.uniform(-loudness, loudness, count).astype("<f4").tobytes()
        answers = []
        for isa in VARIANTS:
            stream = stream_of(plan, isa)
            stream.restore(seal(saved[:HEADER_BYTES] + state))
            try:
                answers.append(str(stream.push(FRAMES)))
            except ChunkError as error:
                answers.append(str(error))
        assert len(set(answers)) == 1


# ---- counters ----


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_counters_tell_frames_consumed_and_refused(tmp_path: Path, backend: str) -> None:
    stream = open_model(tmp_path, backend).stream()
    assert (stream.frames, stream.refused) == (0, 0)
    stream.push(FRAMES)
    stream.push(FRAMES[:3])
    with pytest.raises(ChunkError):
        stream.push(np.full((5, 6), np.inf, np.float32))
    with pytest.raises(ChunkError):  # no frames of this model at all, and not counted
        stream.push(np.zeros((5, 7), np.float32))
    assert (stream.frames, stream.refused) == (43, 5)


def test_frames_refused_inside_the_model_and_for_an_id_are_counted() -> None:
    stream = stream_of(small_plan())
    with pytest.raises(ChunkError, match="a value inside the model left 2"):
        stream.push(np.full((7, 6), 1e18, np.float32))
    assert (stream.frames, stream.refused) == (0, 7)
    program = embedding(np.ones((10, 4), np.float32))
    ids = stream_of(compile_program(program, contract_of(program)))
    for bad in (-1, 10, 2**24 + 1, 2**63 - 1):
        with pytest.raises(ChunkError, match=f"holds id {bad} at frame 1; wanted 0 to 9"):
            ids.push(np.array([3, bad, 2], np.int64))
    ids.push(np.array([3, 4], np.uint8))
    assert (ids.frames, ids.refused) == (2, 12)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize("start", [2**24 - 5, 2**31 - 5, 2**32 - 5, 2**53 - 5, 2**63 - 5, 2**64 - 5])
def test_row_33_counters_near_their_wrap_count_on_or_stay(tmp_path: Path, backend: str, start: int) -> None:
    """A snapshot sets the counters of 64 bits; no answer depends on them, and they stop at the largest value."""
    model = open_model(tmp_path, backend)
    stream, plain = model.stream(), model.stream()
    stream.restore(with_counters(stream.snapshot(), start, start + 1))
    for count in (3, 4, 3):
        np.testing.assert_array_equal(stream.push(FRAMES[:count]), plain.push(FRAMES[:count]))
        with pytest.raises(ChunkError):
            stream.push(np.full((count, 6), np.nan, np.float32))
    most = 2**64 - 1
    assert (stream.frames, stream.refused) == (min(start + 10, most), min(start + 11, most))
    assert stream.fork().frames == stream.frames

"""The one reader of signals: every form gives the same frames, in chunks, whole, from pipes and from folders."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tidegate.commands._signal_form import SignalForm
from tidegate.commands._signals import read_chunks, read_signal, read_streams
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.reading.opened import STANDARD_INPUT

CONTRACT = Contract((Port("x", 0, 1),), (Port("y", None, 0),), (State("h", "g", "h", (1, "batch", 8)),), 0, 16000.0, 1)
IDS = SignalForm(CONTRACT, (), ids=True)
ONE = SignalForm(CONTRACT, (1,), ids=False)
TWO = SignalForm(CONTRACT, (2,), ids=False)

FRAMES = (np.arange(10).reshape(5, 2) / 16 - 0.25).astype(np.float32)  # exact in text and as 16-bit samples


def npy(values: Array) -> bytes:
    """Return the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Path, Array], object]] = {
    "x.npy": np.save,
    "x.NPY": lambda path, values: path.write_bytes(npy(values)),
    "x.npz": np.savez,
    "x.csv": lambda path, values: np.savetxt(path, values, delimiter=","),
    "x.txt": np.savetxt,
    "x": lambda path, values: np.savetxt(path, values, delimiter=";", header="left right"),
    "y": lambda path, values: path.write_bytes(npy(values)),
    "x.wav": lambda path, values: soundfile.write(path, values, 16000),
    "x.FLAC": lambda path, values: soundfile.write(path, values, 16000),
}
NO_RECORDINGS = [name for name in WRITERS if name not in ("x.wav", "x.FLAC")]


def write(name: str, values: Array, folder: Path) -> Path:
    WRITERS[name](folder / name, values)
    return folder / name


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_every_form_gives_the_same_frames(name: str, frames: int, tmp_path: Path) -> None:
    path = write(name, FRAMES, tmp_path)

    chunks = [chunk for _, chunk in read_chunks(path, TWO, frames)]

    assert [len(chunk) for chunk in chunks] == [min(frames, 5 - at) for at in range(0, 5, frames)]
    assert np.array_equal(np.concatenate(chunks), FRAMES)
    assert np.array_equal(read_signal(path, TWO), FRAMES)
    assert read_signal(path, TWO).dtype == np.float32


@pytest.mark.parametrize("name", WRITERS)
def test_one_feature_needs_no_second_axis(name: str, tmp_path: Path) -> None:
    assert np.array_equal(read_signal(write(name, FRAMES[:, 0], tmp_path), ONE), FRAMES[:, :1])


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_every_form_but_recordings_may_hold_ids(name: str, tmp_path: Path) -> None:
    path = write(name, np.array([1, 8, 0, 3]), tmp_path)

    assert read_signal(path, IDS).tolist() == [1, 8, 0, 3]
    assert [chunk.tolist() for _, chunk in read_chunks(path, IDS, 3)] == [[1, 8, 0], [3]]


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_is_read_from_standard_input(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a pipe, which has no ending of a name and cannot be read twice."""
    data = write(name, FRAMES, tmp_path).read_bytes()
    source, target = os.pipe()
    os.write(target, data)
    os.close(target)
    with open(source, "rb") as file:  # noqa: PTH123  a descriptor
        monkeypatch.setattr("sys.stdin", file)

        assert np.array_equal(read_signal(STANDARD_INPUT, TWO), FRAMES)


@pytest.mark.parametrize("name", ["x.csv", "x.npy"])
def test_a_named_pipe_is_read(name: str, tmp_path: Path) -> None:
    data = write(name, FRAMES, tmp_path).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()

    assert np.array_equal(np.concatenate([c for _, c in read_chunks(tmp_path / "pipe", TWO, 2)]), FRAMES)
    writer.join()


def test_a_closed_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ChunkError, match="there is no standard input, it is closed; give a file"):
        read_signal(STANDARD_INPUT, TWO)


@pytest.mark.parametrize(
    ("name", "places"),
    [("x.npy", ["frame 0", "frame 2", "frame 4"]), ("x.csv", ["line 1", "line 3", "line 5"])],
)
def test_each_chunk_has_its_place(name: str, places: list[str], tmp_path: Path) -> None:
    path = write(name, FRAMES, tmp_path)

    assert [place for place, _ in read_chunks(path, TWO, 2)] == [f"{path}, {place}" for place in places]


def test_a_long_array_is_read_in_pieces_with_the_same_chunks(tmp_path: Path) -> None:
    long = np.arange(2 * 40_001, dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "x.npy", long)

    chunks = [chunk for _, chunk in read_chunks(tmp_path / "x.npy", TWO, 1000)]

    assert [len(chunk) for chunk in chunks] == [1000] * 40 + [1]
    assert np.array_equal(np.concatenate(chunks), long)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".wav", ".flac"])
def test_a_pipe_that_is_named_as_a_file_is_refused_and_does_not_wait(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"x{suffix}")
    with pytest.raises(ChunkError, match=rf"x\{suffix}: not a regular file, wanted a signal"):
        read_signal(tmp_path / f"x{suffix}", TWO)


def test_several_arrays_or_none_are_no_signal(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", FRAMES, FRAMES)
    with pytest.raises(ChunkError, match=r"x\.npz: holds several arrays, wanted one"):
        list(read_chunks(tmp_path / "x.npz", TWO, 1))
    np.savez(tmp_path / "x.npz")
    with pytest.raises(ChunkError, match=r"x\.npz: holds no array, wanted one"):
        read_signal(tmp_path / "x.npz", TWO)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_value_that_no_stream_takes_is_named(value: float, tmp_path: Path) -> None:
    frames = FRAMES.copy()
    frames[3, 1] = value
    np.save(tmp_path / "x.npy", frames)
    with pytest.raises(ChunkError, match=r"x\.npy, frame 3: holds (nan|inf|1e\+30), wanted finite numbers up to 2\^64"):
        read_signal(tmp_path / "x.npy", TWO)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.txt", "x.wav"])
def test_a_signal_without_frames_is_refused_if_it_is_wanted_whole(name: str, tmp_path: Path) -> None:
    path = write(name, np.zeros((0, 2)), tmp_path)

    assert [frames.shape for _, frames in read_chunks(path, TWO, 1)] == [(0, 2)]
    with pytest.raises(ChunkError, match=rf"x\{path.suffix}(: arr_0)?: holds no frame"):
        read_signal(path, TWO)


def test_ids_of_an_empty_text_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("")
    assert [frames.shape for _, frames in read_chunks(tmp_path / "x.csv", IDS, 1)] == [(0,)]


# ---- folders ----


def test_files_are_streams_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Arrays of a .npz file are in the order of their names too; other files and hidden ones are left out."""
    for number, name in enumerate(["a.npy", "b.CSV", "d.txt", "e.wav"]):
        values = FRAMES * (number + 1) / 8
        WRITERS[{"b.CSV": "x.csv", "d.txt": "x.txt", "e.wav": "x.wav"}.get(name, "x.npy")](tmp_path / name, values)
    np.savez(tmp_path / "c.npz", second=FRAMES[:1], first=FRAMES[:2])
    (tmp_path / "README.md").write_text("nothing to read")
    (tmp_path / "._e.wav").write_bytes(b"what another system keeps next to a file")

    assert [len(stream) for stream in read_streams(tmp_path, TWO)] == [5, 5, 2, 1, 5, 5]


def test_one_file_is_its_streams(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", FRAMES, FRAMES[:3])
    assert [len(stream) for stream in read_streams(tmp_path / "x.npz", TWO)] == [5, 3]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("b.npy", np.zeros((3, 4)), r"b\.npy: has shape \(3, 4\), wanted \(frames, 2\)"),
        ("b.csv", np.zeros((3, 4)), r"b\.csv, line 1: has shape \(3, 4\), wanted \(frames, 2\)"),
        ("b.npz", np.zeros((3, 4)), r"b\.npz: arr_0: has shape \(3, 4\), wanted \(frames, 2\)"),
        ("b.npy", np.full((3, 2), np.nan), r"b\.npy, frame 0: holds nan, wanted finite"),
        ("b.wav", np.zeros((3, 1)), r"b\.wav: has 1 channels, wanted \(frames, 2\)"),
    ],
)
def test_row_49_bad_file_of_a_folder_is_named(name: str, values: Array, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES)
    WRITERS[f"x{Path(name).suffix}"](tmp_path / name, values)
    with pytest.raises(ChunkError, match=message):
        list(read_streams(tmp_path, TWO))


def test_a_pipe_in_a_folder_is_refused_and_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(ChunkError, match=r"x\.csv: not a regular file"):
        list(read_streams(tmp_path, TWO))


def test_a_folder_without_streams_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("text")
    with pytest.raises(
        ChunkError, match=r"has no streams, wanted files that end in \.npy, \.npz, \.wav, \.flac, \.csv"
    ):
        list(read_streams(tmp_path, TWO))

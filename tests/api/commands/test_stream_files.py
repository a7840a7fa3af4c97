"""The streams of a calibration folder: their order and shapes, and files that are refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tidegate.commands._stream_files import read_streams
from tidegate.runtime.errors import ChunkError


def test_files_are_streams_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Arrays of a .npz file are in the order of their names too; other files are left out."""
    for name, count in (("b", 200), ("a", 100)):
        np.save(tmp_path / f"{name}.npy", np.full((count, 6), count, np.float32))
    np.savez(tmp_path / "c.npz", second=np.full((60, 6), 60.0), first=np.arange(70))
    (tmp_path / "notes.txt").write_text("nothing to read")

    streams = list(read_streams(tmp_path, None))

    assert [stream.shape for stream in streams] == [(100, 6), (200, 6), (70,), (60, 6)]
    assert np.unique(streams[3]).tolist() == [60]


def test_recordings_are_streams_of_samples(tmp_path: Path) -> None:
    samples = np.linspace(-0.5, 0.5, 64).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.flac", np.stack([samples, samples], 1), 16000)
    first, second = read_streams(tmp_path, 16000.0)
    np.testing.assert_array_equal(first, samples[:, None])
    assert second.shape == (64, 2)
    with pytest.raises(ChunkError, match=r"a\.wav: has 16000 samples per second, the model takes 44100; resample it"):
        list(read_streams(tmp_path, 44100.0))


def hostile(shape: tuple[int, ...]) -> bytes:
    """Return the bytes of a .npy file whose header states a large shape, with only eight bytes of data."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(8)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", b"no array", "a.npy: not a .npy file of numbers"),
        ("a.npy", hostile((2**40, 6)), "a.npy: not a .npy file of numbers"),
        ("a.npz", b"no archive", "a.npz: not a .npz file of numbers"),
        ("a.wav", b"no sound", "a.wav: not a recording that can be read"),
        ("a.txt", b"text", r"has no streams, wanted files that end in .npy, .npz, .wav, .flac"),
    ],
)
def test_files_that_are_no_streams_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ChunkError, match=message):
        list(read_streams(tmp_path, None))


def test_an_archive_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", hostile((2**40, 6)))
    with pytest.raises(ChunkError, match=r"a\.npz: x\.npy states \d+ bytes, the archive holds \d+"):
        list(read_streams(tmp_path, None))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ChunkError, match=r"a\.npz: not a \.npz file of numbers"):
        list(read_streams(tmp_path, None))

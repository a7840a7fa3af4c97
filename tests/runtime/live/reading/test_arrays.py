"""Arrays in files: what NumPy and soundfile write is read, and damaged and hostile files are refused by name."""

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.reading import arrays
from tidegate.runtime.live.reading.arrays import array_of, array_pieces, arrays_of, recording_of

SAMPLES = np.linspace(-0.5, 0.5, 3000).astype(np.float32)


def npy(array: Array) -> bytes:
    """Return the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def stated(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """Return the bytes of a .npy file whose header states a shape and a type, with only eight bytes of data."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(8)


def archive(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    """Return the bytes of a .npz file with one entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("a.npy", data)
    return bytearray(buffer.getvalue())


def recording(form: str, samples: Array = SAMPLES) -> bytes:
    """Return the bytes of a recording at 16 kHz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format=form, subtype="PCM_16")
    return buffer.getvalue()


# ---- .npy ----


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(3, 2),
        np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        np.arange(3, dtype=">i2"),
        np.zeros((0, 2), np.float32),
        np.array(1.5),
    ],
    ids=["float32", "fortran", "big endian", "empty", "scalar"],
)
@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_an_array_is_read_back_in_pieces(array: Array, rows: int) -> None:
    data = npy(array)

    pieces = list(array_pieces(io.BytesIO(data), len(data), "x.npy", rows))

    assert np.array_equal(array_of(data, "x.npy"), array)
    assert array_of(data, "x.npy").dtype == array.dtype
    if array.size:
        assert np.array_equal(np.concatenate(pieces) if array.ndim else pieces[0], array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1,2\n",
        npy(np.array([[{}]], object)),
        b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**32 - 1) + b"{",
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 900) + b"-" * 900,
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"-" * 9000,
        stated((-1, 6)),
        stated((0, 2**70)),
        stated((2,), "|S0"),
    ],
    ids=["empty", "text", "pickled", "header of 4 GB", "signs", "more signs", "negative", "huge", "no type"],
)
def test_a_file_that_is_no_array_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkError, match=r"x\.npy: not a \.npy file of numbers, or a damaged one"):
        array_of(data, "x.npy")


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        (stated((2**40 - 1, 6)), (24 * (2**40 - 1), 8)),
        (npy(np.zeros((100, 2), np.float32))[:300], (800, 172)),
        (npy(np.zeros(4)) + bytes(8), (32, 40)),
    ],
    ids=["tera", "truncated", "longer"],
)
def test_an_array_of_another_size_than_its_file_is_refused(data: bytes, sizes: tuple[int, int]) -> None:
    with pytest.raises(
        ChunkError, match=r"x\.npy: its header states {} bytes of numbers, the file holds {}".format(*sizes)
    ):
        array_of(data, "x.npy")


def test_array_that_is_cut_while_it_is_read_is_refused() -> None:
    data = npy(np.ones((100, 2), np.float32))
    file = io.BytesIO(data)
    pieces = array_pieces(file, len(data), "x.npy", 10)

    assert len(next(pieces)) == 10
    file.truncate(300)

    with pytest.raises(ChunkError, match=r"x\.npy: became shorter while it was read"):
        list(pieces)


# ---- .npz ----


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_in_the_order_of_their_names(save: Callable[..., None]) -> None:
    buffer = io.BytesIO()
    save(buffer, second=np.ones((2, 3)), first=np.arange(4))

    found = list(arrays_of(buffer.getvalue(), "x.npz"))

    assert [name for name, _ in found] == ["first", "second"]
    assert np.array_equal(found[0][1], np.arange(4))
    assert np.array_equal(found[1][1], np.ones((2, 3)))


def encrypted() -> bytes:
    data = archive(npy(SAMPLES))
    data[6] |= 1
    data[data.find(b"PK\1\2") + 8] |= 1
    return bytes(data)


def corrupt() -> bytes:
    data = archive(npy(SAMPLES))
    data[45:60] = bytes(range(200, 215))
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no archive", "not a .npz file of numbers"),
        (corrupt(), "not a .npz file of numbers"),
        (bytes(archive(npy(SAMPLES))[:-30]), "not a .npz file of numbers"),
        (encrypted(), "a.npy is encrypted; save it without a password"),
        (bytes(archive(npy(SAMPLES), zipfile.ZIP_LZMA)), "a.npy is packed by method 14; save it with numpy.savez"),
        (bytes(archive(npy(SAMPLES), zipfile.ZIP_BZIP2)), "a.npy is packed by method 12"),
        (bytes(archive(stated((2**39, 6)))), r"a.npy: its header states \d+ bytes of numbers, the file holds 8"),
        (bytes(archive(npy(np.array([{}], object)))), "a.npy: not a .npy file of numbers"),
    ],
)
def test_archives_that_hold_no_arrays_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ChunkError, match=f"x.npz: {message}"):
        list(arrays_of(data, "x.npz"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_numpy_is_taken_as_the_messages_say(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "x.npz", a=SAMPLES)
    (found,) = arrays_of((tmp_path / "x.npz").read_bytes(), "x.npz")
    np.testing.assert_array_equal(found[1], SAMPLES)


def test_row_46_archive_that_expands_too_far_is_refused_before_it_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lower here, so that the test is fast. Uncompressed arrays have no limit."""
    monkeypatch.setattr(arrays, "FREE_BYTES", 2**20)
    zeros = npy(np.zeros(2**19, np.float32))

    assert len(next(arrays_of(bytes(archive(zeros, zipfile.ZIP_STORED)), "x.npz"))[1]) == 2**19
    with pytest.raises(ChunkError, match=r"x\.npz: a\.npy: expands from \d+ to 2097280 bytes .* save it uncompressed"):
        list(arrays_of(bytes(archive(zeros)), "x.npz"))


# ---- recordings ----


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_is_samples_by_channels(form: str, channels: int) -> None:
    samples = np.stack([SAMPLES] * channels, 1)

    found, rate = recording_of(recording(form, samples), "x")

    assert (found.shape, found.dtype.name, rate) == (samples.shape, "float32", 16000)
    np.testing.assert_allclose(found, samples, atol=2**-15)


@pytest.mark.parametrize("kind", ["npy", "npz", "wav", "flac"])
def test_a_file_with_any_bytes_changed_is_read_or_refused_by_its_name(kind: str) -> None:
    """Never another exception. Some changes of a header reach NumPy's own reader of old headers."""
    readers: dict[str, tuple[bytes, Callable[[bytes, str], object]]] = {
        "npy": (npy(SAMPLES[:40]), array_of),
        "npz": (bytes(archive(npy(SAMPLES[:40]), zipfile.ZIP_STORED)), lambda data, name: list(arrays_of(data, name))),
        "wav": (recording("WAV", SAMPLES[:100]), recording_of),
        "flac": (recording("FLAC", SAMPLES[:100]), recording_of),
    }
    whole, read = readers[kind]
    random, refused = np.random.default_rng(0), 0
    for _ in range(500):
        data = bytearray(whole[: random.integers(1, 2 * len(whole))])
        data[random.integers(len(data))] = random.integers(256)
        try:
            read(bytes(data), "x")
        except ChunkError as error:
            assert str(error).startswith("x: ")  # noqa: PT017
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("stated", [0, 2**31 + 36, 2**32 - 1])
def test_a_recording_from_a_pipe_may_state_no_length(stated: int) -> None:
    data = bytearray(recording("WAV"))
    data[4:8] = struct.pack("<I", stated)
    data[40:44] = struct.pack("<I", max(0, stated - 36) or 2**32 - 1)

    assert len(recording_of(bytes(data), "x.wav")[0]) == len(SAMPLES)


def test_a_recording_needs_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ChunkError, match=r"x\.wav: recordings need soundfile; pip install 'tidegate\[audio\]'"):
        recording_of(b"", "x.wav")


def long_flac() -> bytes:
    """Return a .flac file whose header states 2^36 - 1 samples."""
    data = bytearray(recording("FLAC"))
    data[21] |= 15
    data[22:26] = b"\xff" * 4
    return bytes(data)


@pytest.mark.parametrize(
    "data", [b"no sound", b"", long_flac(), recording("FLAC")[:-100], recording("WAV")[:-100], b"RIFF" + bytes(100)]
)
def test_a_damaged_recording_is_refused(data: bytes) -> None:
    with pytest.raises(
        ChunkError, match=r"x\.wav: (not a recording that can be read|its header states \d+ (samples|bytes))"
    ):
        recording_of(data, "x.wav")


def test_a_recording_that_expands_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "FREE_BYTES", 2**20)
    silence = recording("FLAC", np.zeros(2**19, np.float32))

    with pytest.raises(ChunkError, match=r"x\.flac: expands from \d+ to \d+ bytes"):
        recording_of(silence, "x.flac")

"""Reads the streams of a calibration folder: .npy and .npz files, and recordings."""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ChunkError

RECORDINGS = (".wav", ".flac")
SUFFIXES = (".npy", ".npz", *RECORDINGS)


def read_streams(folder: Path, sample_rate: float | None) -> Iterator[Array]:
    """Give the streams in a folder, one at a time, in the order of the files' names.

    A .npy file is one stream; a .npz file has one stream per array. Both have the shape `[frames, features]`, or
    `[frames]` for token ids. A .wav or .flac recording is one stream, float32 `[samples, channels]`.

    Args:
        folder: The folder.
        sample_rate: Samples per second that recordings must have; None allows any.

    Raises:
        ChunkError: A file cannot be read or has another sample rate, or the folder has no such files.
        FileNotFoundError: The folder does not exist.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ChunkError(f"{folder}: has no streams, wanted files that end in {', '.join(SUFFIXES)}")
    for path in files:
        if path.suffix.lower() == ".npz":
            yield from _arrays(path)
        elif path.suffix.lower() in RECORDINGS:
            yield _recording(path, sample_rate)
        else:
            yield _array(path)


def _array(path: Path) -> Array:
    """Read a .npy file. Pickled objects are refused."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, TypeError):
        raise ChunkError(f"{path}: not a .npy file of numbers, or a damaged one") from None


def _arrays(path: Path) -> Iterator[Array]:
    """Read the arrays of a .npz file in the order of their names. Pickled objects are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                with archive.open(entry) as file:
                    _check_size(path, entry, file)
                with archive.open(entry) as file:
                    yield np.lib.format.read_array(file, allow_pickle=False)
    except ChunkError:
        raise
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile):
        raise ChunkError(f"{path}: not a .npz file of numbers, or a damaged one") from None


def _check_size(path: Path, entry: zipfile.ZipInfo, file: IO[bytes]) -> None:
    """Refuse an array whose header states more bytes than the archive holds, before memory is allocated for it."""
    old = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    size = math.prod(shape) * dtype.itemsize
    if size > entry.file_size:
        raise ChunkError(f"{path}: {entry.filename} states {size} bytes, the archive holds {entry.file_size}")


def _recording(path: Path, sample_rate: float | None) -> Array:
    """Read a recording, float32 `[samples, channels]`."""
    try:
        import soundfile
    except ImportError:
        raise ChunkError(f"{path}: recordings need soundfile; pip install 'tidegate[audio]'") from None
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ChunkError(f"{path}: not a recording that can be read ({error})") from None
    if sample_rate is not None and rate != sample_rate:
        raise ChunkError(f"{path}: has {rate} samples per second, the model takes {sample_rate:g}; resample it")
    found: Array = samples
    return found

"""Reads signals for every command: .npy, .npz, .wav and .flac files, text, pipes, and folders of these."""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from tidegate.commands._signal_form import SignalForm
from tidegate.runtime.arrays import Array, Chunk
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.files import MAX_FILE_BYTES, read_bytes
from tidegate.runtime.live.reading.arrays import array_of, array_pieces, arrays_of, recording_of
from tidegate.runtime.live.reading.opened import FIRST_BYTES, TEXT, Opened, check_regular, name_of, opened
from tidegate.runtime.live.reading.text import text_chunks
from tidegate.runtime.streams import apart

IN_FOLDERS = (*FIRST_BYTES.values(), ".csv", ".tsv", ".txt")
PIECE = 2**14  # frames that are read together
BLOCK = 2**20  # bytes


def read_chunks(source: Path, form: SignalForm, frames: int) -> Iterator[tuple[str, Array]]:
    """Give a signal in chunks, each with its place in the signal (for error messages).

    Args:
        source: A file, a pipe, or `-` for standard input. Text is read as it
            comes, a .npy file in pieces, any other kind at once.
        form: The form of the signal.
        frames: Frames per chunk; the last chunk may have fewer. A signal without frames is one chunk of none.

    Raises:
        ChunkError: The file is not a signal of this form, or a line is not a frame.
        FileNotFoundError: The file does not exist.
    """
    with opened(source) as found, closing(_chunks(found, form, frames)) as chunks:
        first = next(chunks, None)
        yield first or (found.name, form.none(found.name))
        yield from chunks


def read_signal(source: Path, form: SignalForm) -> Array:
    """Read a whole signal, float32 `[frames, features]` or ids `[frames]`.

    Args:
        source: A file, a pipe, or `-` for standard input.
        form: The form of the signal.

    Raises:
        ChunkError: The file is not a signal of this form, or a value is not finite or above 2^64.
        FileNotFoundError: The file does not exist.
    """
    return _only(name_of(source), _signals(source, form))


def read_streams(source: Path, form: SignalForm) -> Iterator[Chunk]:
    """Give the streams in a folder, one at a time, in the order of the files' names; or the streams of one file.

    Each array of a .npz file is a stream. For several signals, or with static inputs, the whole file is a stream: its
    arrays have the names. Any other file is one stream. Hidden files and files with endings that are
    not in `IN_FOLDERS` are left out.

    Raises:
        ChunkError: A file is not a signal of this form, or the folder has no such files.
        FileNotFoundError: The folder does not exist.
    """
    for file in _files(source) if source.is_dir() else [source]:
        if form.by_name and file.suffix.lower() == ".npz":
            with opened(file) as found:
                yield dict(arrays_of(_bytes(found), found.name))
        else:
            for _, stream in _signals(file, form):
                yield apart(form.contract.pieces, stream)


def read_array(path: str) -> Array:
    """Return the array of a .npy file.

    Raises:
        ChunkError: As `array_pieces` does.
        FileNotFoundError: There is no such file.
    """
    return array_of(read_bytes(path, MAX_FILE_BYTES), path)


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    files = sorted(path for path in found if path.suffix.lower() in IN_FOLDERS)
    if not files:
        raise ChunkError(f"{folder}: has no streams, wanted files that end in {', '.join(IN_FOLDERS)}")
    for path in files:
        check_regular(path)
    return files


def _signals(source: Path, form: SignalForm) -> Iterator[tuple[str, Array]]:
    """Give the names and the signals of a source, whole and checked."""
    with opened(source) as found:
        signals = [(found.name, _text(found, form))] if found.kind == TEXT else _arrays(found, form)
        for name, signal in signals:
            form.check(signal, name)
            yield name, signal


def _chunks(found: Opened, form: SignalForm, frames: int) -> Generator[tuple[str, Array], None, None]:
    if found.kind == TEXT:
        for place, values in text_chunks(found.file, found.name, frames):
            yield place, form.fit(values, place)
        return
    at = 0
    for piece in _pieces(found, form, frames * max(1, PIECE // frames)):
        for start in range(0, len(piece), frames):
            yield f"{found.name}, frame {at + start}", piece[start : start + frames]
        at += len(piece)


def _text(found: Opened, form: SignalForm) -> Array:
    """Return the whole signal of a text."""
    chunks, size = [form.none(found.name)], 0
    for place, values in text_chunks(found.file, found.name, PIECE):
        chunks.append(form.fit(values, place))
        size += chunks[-1].nbytes
        if size > MAX_FILE_BYTES:
            raise ChunkError(f"{place}: at most {MAX_FILE_BYTES} bytes of numbers are read")
    return np.concatenate(chunks[len(chunks) > 1 :])


def _pieces(found: Opened, form: SignalForm, frames: int) -> Iterator[Array]:
    """Give the one signal of a source that is not text, in pieces. A .npy file may be larger than the memory."""
    status = os.fstat(found.file.fileno())
    if found.kind == ".npy" and stat.S_ISREG(status.st_mode):
        for piece in array_pieces(found.file, status.st_size, found.name, frames):
            yield form.fit(piece, found.name)
    else:
        yield _only(found.name, _arrays(found, form))


def _arrays(found: Opened, form: SignalForm) -> Iterator[tuple[str, Array]]:
    """Give the names and the signals of a source that is not text."""
    data, name = _bytes(found), found.name
    if found.kind == ".npz" and form.contract.pieces:
        yield name, form.fit_signals(dict(arrays_of(data, name)), name)
    elif found.kind == ".npz":
        for key, values in arrays_of(data, name):
            yield f"{name}: {key}", form.fit(values, f"{name}: {key}")
    elif found.kind == ".npy":
        yield name, form.fit(array_of(data, name), name)
    else:
        yield name, form.fit_recording(*recording_of(data, name), name)


def _bytes(found: Opened) -> bytes:
    """Return the bytes of a source. They are read once, so that a later change of the file does no harm.

    Raises:
        ChunkError: There are more than `MAX_FILE_BYTES`.
    """
    blocks, size = [], 0
    while block := found.file.read(BLOCK):
        blocks.append(block)
        size += len(block)
        if size > MAX_FILE_BYTES:
            raise ChunkError(f"{found.name}: at most {MAX_FILE_BYTES} bytes are read")
    return b"".join(blocks)


def _only(source: str, signals: Iterator[tuple[str, Array]]) -> Array:
    """Return the signal of a source that must have exactly one."""
    found = next(signals, None)
    other = next(signals, None)
    if found is None or other is not None:
        raise ChunkError(f"{source}: holds {'no array' if found is None else 'several arrays'}, wanted one")
    return found[1]
